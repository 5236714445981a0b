# A long script for a client of the database's own, on its standard output: transactions of two
# rows each, whose beginning and end that client also writes to a plain file.
import sys

kind, file = sys.argv[1:]
shell = {"sqlite3": ".shell", "psql": "\\!"}[kind]
print({"sqlite3": ".print ready", "psql": "\\echo ready"}[kind])
for number in range(1, 3000):
    print(f"BEGIN;\nINSERT INTO t VALUES ({number}, 'first');")
    print(f"{shell} echo begun {number} >>{file}")
    print(f"INSERT INTO t VALUES ({number}, 'second');\nCOMMIT;")
    print(f"{shell} echo done {number} >>{file}")
