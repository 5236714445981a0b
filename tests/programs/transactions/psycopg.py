# A loop of transactions of two rows each, whose beginning and end are also written to a plain file.
import sys

import psycopg2

database = psycopg2.connect(sys.argv[1])
cursor = database.cursor()
file = open(sys.argv[2], "a")
cursor.execute("SELECT coalesce(max(n), 0) FROM t")
number = cursor.fetchone()[0]
database.commit()
print("ready", flush=True)
while True:
    number += 1
    cursor.execute("INSERT INTO t VALUES (%s, 'first')", (number,))
    file.write("begun %d\n" % number)
    file.flush()
    cursor.execute("INSERT INTO t VALUES (%s, 'second')", (number,))
    database.commit()
    file.write("done %d\n" % number)
    file.flush()
