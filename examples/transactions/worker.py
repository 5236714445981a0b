#!/usr/bin/python3
"""Books one order after another, two rows in a transaction each. Knows nothing of libgrace."""
import sqlite3
import time

database = sqlite3.connect("orders.db")
database.execute("CREATE TABLE IF NOT EXISTS entries (number INTEGER, side TEXT)")
number = 0
while True:
    number += 1
    database.execute("INSERT INTO entries VALUES (?, 'debit')", (number,))
    print("began order", number, flush=True)
    time.sleep(0.3)
    database.execute("INSERT INTO entries VALUES (?, 'credit')", (number,))
    database.commit()
    print("booked order", number, flush=True)
