# A loop of transactions of two rows each, whose beginning and end are also written to a plain file.
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], timeout=20)
file = open(sys.argv[2], "a")
number = database.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
print("ready", flush=True)
while True:
    number += 1
    database.execute("INSERT INTO t VALUES (?, 'first')", (number,))
    file.write("begun %d\n" % number)
    file.flush()
    database.execute("INSERT INTO t VALUES (?, 'second')", (number,))
    database.commit()
    file.write("done %d\n" % number)
    file.flush()
