"""service/py for the tests: one function per type, and some that misbehave."""
import os
import sys
import threading
import time

import rhodes
from signatures import SIGNATURES, SINGLE, TYPES


def main():
    meeting = threading.Barrier(2)
    sleeping = []
    with rhodes.open() as session:
        for i in range(len(SINGLE)):
            session.serve(SIGNATURES[i], TYPES)(lambda v: v)

        def serve(name):
            return session.serve(next(s for s in SIGNATURES if s.startswith(name + ":")), TYPES)

        serve("echo-all")(lambda v: v)
        serve("subtract")(lambda left, right: left - right)
        serve("nothing")(lambda: None)
        serve("wrong")(lambda: "text")
        serve("die")(lambda: os._exit(3))
        serve("big")(lambda count: bytes(count))
        serve("import")(lambda text: text.upper())

        @serve("fail")
        def fail(text):
            raise ValueError(text)

        @serve("say-no")
        def say_no(text):
            raise rhodes.CalleeFailed(text)

        @serve("slow")
        def slow(ms):
            sleeping.append(ms)
            time.sleep(ms / 1000)
            sleeping.remove(ms)
            return ms

        @serve("inside")
        def inside():
            """How many calls of slow run now."""
            return len(sleeping)

        @serve("meet")
        def meet():
            """Returns only when two calls are inside at once."""
            return meeting.wait(5)

        @serve("close-session")
        def close_session():
            try:
                session.close()
            except RuntimeError as error:
                return str(error)
            return "closed"

        session.run(threads=4)


if __name__ == "__main__":
    sys.exit(main())
