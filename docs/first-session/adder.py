"""service/adder: serves one function until its agent says stop."""
import rhodes

with rhodes.open() as session:

    @session.serve("add: func(a: s32, b: s32) -> s32")
    def add(a, b):
        return a + b

    session.run()
