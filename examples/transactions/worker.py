#!/usr/bin/python3
"""Books one order after another: two rows in a transaction, then a line in a file. Knows nothing of libgrace."""
import sqlite3
import time

database = sqlite3.connect("orders.db")
database.execute("CREATE TABLE IF NOT EXISTS entries (number INTEGER, side TEXT)")
number = database.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()[0]
with open("orders.log", "a", buffering=1) as log:
    while True:
        number += 1
        database.execute("INSERT INTO entries VALUES (?, 'debit')", (number,))
        time.sleep(0.3)
        database.execute("INSERT INTO entries VALUES (?, 'credit')", (number,))
        database.commit()
        log.write(f"order {number} booked\n")
