#!/usr/bin/python3
"""Takes down 100 readings in an SQLite file, a transaction each, then waits. Knows nothing of libgrace."""
import signal
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE readings (number INTEGER)")
database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
for number in range(100):
    with database:
        database.execute("INSERT INTO readings VALUES (?)", (number,))
print("written", flush=True)
signal.pause()
