#!/usr/bin/env python3
"""service/words: counts words.     rhodes run --as service/words -- python3 server.py"""
import collections
import re

import rhodes

TYPES = """
enum letter-case { as-is, lower }
record counted { word: string, times: u32 }
"""

with rhodes.open("service/words") as session:

    @session.serve("count: func(text: string, letters: letter-case, at-most: option<u32>) -> list<counted>", TYPES)
    def count(text, letters, at_most):
        words = re.findall(r"\w+", text.lower() if letters == "lower" else text)
        if not words:
            raise rhodes.CalleeFailed("there is no word in this text")
        return [{"word": word, "times": times} for word, times in collections.Counter(words).most_common(at_most)]

    print("service/words: serving, ^C ends it", flush=True)
    try:
        session.run()
    except KeyboardInterrupt:
        pass
