"""application/asker: one call of another resource's function."""
import sys

import rhodes

with rhodes.open() as session:
    adder = session.bind("service/adder")
    try:
        print(adder.add(2, 3))
    except rhodes.Error as error:
        sys.exit(f"{error.verdict}: {error}")
