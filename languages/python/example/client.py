#!/usr/bin/env python3
"""application/reader: has a text's words counted.     rhodes run --as application/reader -- python3 client.py < TEXT"""
import sys

import rhodes

with rhodes.open("application/reader") as session:
    words = session.bind("service/words")
    try:
        for counted in words.count(sys.stdin.read(), "lower", at_most=5, timeout=1):
            print(f"{counted.times:5} {counted.word}")
    except rhodes.CalleeFailed as error:
        sys.exit(f"the service says: {error}")
    except rhodes.Denied as error:
        sys.exit(f"a rule refuses this: {error}")
