"""A Python service and Python callers, through real agents: what works, and every way it can go wrong."""
import os
import signal

from python_fixtures import HERE, PYTHON, scenario


def test_every_type_passes_both_ways(callers):
    callers("""
        import math
        point = {"x_pos": -1, "y_pos": 2**31 - 1}
        values = [True, 255, 65535, 2**32 - 1, 2**64 - 1, -128, -2**15, -2**31, -2**63, 0.5, math.pi, "é", "ž\\0😀", b"\\0\\xff",
                  [point], point, (1, "a"), None, "dark-green", [b"", b"x" * 9000]]
        def same(back, value):
            if isinstance(value, dict):
                return dict(back) == value
            if isinstance(value, list):
                return len(back) == len(value) and all(map(same, back, value))
            return back == value and type(back) is type(value)
        for i, value in enumerate(values):
            back = py[f"echo{i}"](value)
            assert same(back, value), (i, back, value)
        names = "yes a b c d e f g h i j k l m n o p q r s".split()
        back = py.echo_all(dict(zip(names, values)))
        assert isinstance(back, rhodes.Record)
        assert all(same(back[name], value) for name, value in zip(names, values)), back
        assert py.echo_all(back) == back
        assert py.nothing() is None
        assert py.echo17("here") == "here"
    """)


def test_arguments_go_by_position_and_by_name(callers):
    callers("""
        assert py.subtract(5, 3) == py.subtract(5, right_side=3) == py.subtract(left=5, right_side=3, timeout=1) == 2
        assert py.subtract is py["subtract"] and py.subtract.signature == "subtract: func(left: s32, right-side: s32) -> s32"
        assert py.subtract.name == "subtract" and py.subtract.resource == "service/py" and "subtract" in repr(py.subtract)
        assert py.import_("x") == "X" and getattr(py, "import")(**{"class": "y"}) == "Y"
        def refused(kind, words, *args, **named):
            try:
                py.subtract(*args, **named)
            except kind as error:
                assert words in str(error), error
            else:
                raise AssertionError((args, named))
        refused(TypeError, "lacks the argument 'right-side'", 1)
        refused(TypeError, "takes 2 arguments, not 3", 1, 2, 3)
        refused(TypeError, "a keyword that it does not take", 1, 2, middle=3)
        refused(TypeError, "one twice", 1, 2, left=3)
        refused(OverflowError, "argument left: s32 is", 2**31, 0)
        refused(ValueError, "timeout", 1, 2, timeout=-1)
        refused(ValueError, "timeout", 1, 2, timeout=float("nan"))
        refused(TypeError, "", 1, 2, timeout="soon")
        assert py.subtract(1, 1) == 0
    """)


def test_a_type_is_checked_when_it_is_bound(callers):
    callers("""
        fine = session.bind("service/py", "subtract: func(left: s32, right-side: s32) -> s32", "nothing: func()")
        assert fine.subtract(3, 1) == 2
        for resource, signature, kind in (
                ("service/py", "subtract: func(left: s32, right-side: s64) -> s32", rhodes.TypeMismatch),
                ("service/py", "absent: func()", rhodes.NotFound), ("service/other", "f: func() -> u32", rhodes.Denied),
                ("service/absent", "f: func() -> u32", rhodes.Denied)):
            try:
                session.bind(resource, signature)
            except kind as error:
                assert error.verdict and str(error), error
            else:
                raise AssertionError(signature)
        for signature in ("nonsense", "subtract: func("):
            try:
                session.bind("service/py", signature)
            except (ValueError, rhodes.Invalid, rhodes.TypeMismatch):
                pass
            else:
                raise AssertionError(signature)
    """)


def test_an_exception_of_the_function_reaches_the_caller(callers):
    callers("""
        def said(function, *arguments):
            try:
                function(*arguments)
            except rhodes.CalleeFailed as error:
                assert error.verdict == "CALLEE_FAILED" and isinstance(error, rhodes.Error)
                return str(error)
        assert said(py.fail, "no such luck ž") == "ValueError: no such luck ž", said(py.fail, "no such luck ž")
        assert said(py.say_no, "not today") == "not today"
        assert said(py.fail, "x" * 5000).startswith("ValueError: xxx")
        assert "TypeError: result: expected an int (u32)" in said(py.wrong), said(py.wrong)
        assert "cannot close its own session" in py.close_session()
        assert py.subtract(1, 1) == 0
    """)
    log = callers.rhodes.home / "agents" / "service.py" / "program.log"
    assert "Traceback" in log.read_text() and "no such luck" in log.read_text()


def test_a_call_ends_by_its_deadline(callers):
    callers("""
        for timeout in (0, 0.05, 0.3):
            began = time.monotonic()
            try:
                py.slow(1500, timeout=timeout)
            except (rhodes.Timeout, rhodes.NotExecuted):
                took = time.monotonic() - began
                assert timeout - 0.01 <= took < timeout + 0.25, (timeout, took)
            else:
                raise AssertionError(timeout)
        assert py.slow(1) == 1
    """)


def test_an_interrupt_ends_a_waiting_call(callers):
    callers("""
        for timeout in (None, 60):
            sent = []
            def interrupt():
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)
            py.slow(1)
            threading.Timer(0.1, interrupt).start()
            try:
                py.slow(2000, timeout=timeout)
            except KeyboardInterrupt:
                took = time.monotonic() - sent[0]
                assert took < 0.3, took
            else:
                raise AssertionError("not interrupted")
        def on_usr1(number, frame):
            raise LookupError("from the handler")
        signal.signal(signal.SIGUSR1, on_usr1)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            py.slow(2000)
        except LookupError:
            pass
        assert py.subtract(4, 1) == 3
    """)


def test_an_interrupt_ends_a_call_that_waits_for_its_agent(callers):
    process = callers.start("""
        assert py.subtract(2, 1) == 1
        os.kill(os.getppid(), signal.SIGKILL)  # our own agent, which started us
        sent = []
        def interrupt():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.1, interrupt).start()
        try:
            while True:
                py.subtract(2, 1, timeout=20)  # until the agent's end is known, then it waits for a successor
        except KeyboardInterrupt:
            print("took", time.monotonic() - sent[0], flush=True)
    """)
    out, err = process.communicate(timeout=15)
    assert float(out.split()[1]) < 0.3, out + err


def test_an_interrupt_ends_serving(center):
    document = {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "alone"},
                "spec": {"provides": [{"function": "f: func() -> u32"}]}}
    assert center.rest("POST", "/v1/apply", {"documents": [document]})[0] == 200
    program = """
import os, signal, sys, threading, time, rhodes
sent = []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
session = rhodes.open("service/alone")
session.serve("f: func() -> u32")(lambda: 1)
threading.Timer(0.2, interrupt).start()
try:
    session.run()
except KeyboardInterrupt:
    session.close()
    took = time.monotonic() - sent[0]
    print(took)
    sys.exit(0 if took < 0.3 else 1)
"""
    center.ok("run", "--as", "service/alone", "--", PYTHON, "-c", program)


def test_calls_wait_without_the_interpreters_lock(callers):
    callers("""
        results, count, over = [], 0, threading.Event()
        waiting = [threading.Thread(target=lambda: results.append(py.slow(400))) for _ in range(3)]
        for thread in waiting:
            thread.start()
        began = time.monotonic()
        while any(thread.is_alive() for thread in waiting):
            count += 1
            time.sleep(0.005)
        assert results == [400] * 3 and count > 20 and time.monotonic() - began < 1.1, (results, count)
        meet = [threading.Thread(target=lambda: results.append(py.meet())) for _ in range(2)]
        for thread in meet:
            thread.start()
        for thread in meet:
            thread.join()
        assert sorted(results[3:]) == [0, 1], results  # both were inside at once
    """)


def test_many_threads_get_their_own_answers(callers):
    callers("""
        wrong = []
        def work(seed):
            for i in range(150):
                left = seed * 1000 + i
                if py.subtract(left, seed) != left - seed or py.echo13(b"%d" % left * 50) != b"%d" % left * 50:
                    wrong.append((seed, i))
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[:5]
    """)


def test_large_values_pass_whole(callers):
    callers("""
        for size in (0, 1, 65535, 65536, 1 << 20, 5 << 20):
            data = os.urandom(size)
            assert py.echo13(data, timeout=20) == data, size
            assert len(py.big(size, timeout=20)) == size
    """)


def test_a_denied_link_raises_denied_and_an_allowed_one_works_again(callers):
    process = callers.start("""
        print(py.subtract(2, 1), flush=True)
        end = time.monotonic() + 15
        while True:
            try:
                py.subtract(2, 1)
            except rhodes.Denied as error:
                assert error.status == 403 and "application/caller" in str(error), error
                print("denied", flush=True)
                break
            assert time.monotonic() < end
        while True:
            try:
                print(py.subtract(2, 1), flush=True)
                break
            except rhodes.Denied:
                assert time.monotonic() < end
    """)
    assert process.stdout.readline() == "1\n", process.communicate(timeout=5)
    link = {"apiVersion": "rhodes/v1", "kind": "Link", "metadata": {},
            "spec": {"caller": "application/caller", "callee": "service/py"}}
    for access, expected in (("deny", "denied\n"), ("allow", "1\n")):
        link["spec"]["access"] = access
        status, answer, _ = callers.rhodes.rest("POST", "/v1/apply?wait=5s", {"documents": [link]})
        assert status == 200, answer
        assert process.stdout.readline() == expected
    assert process.wait(10) == 0, process.stderr.read()
    process.communicate()


def test_a_killed_agent_of_the_callee_is_survived(callers):
    agent = callers.rhodes.agents()["service/py"]["pid"]
    process = callers.start("""
        said = []
        def call():
            began = time.monotonic()
            try:
                said.append(py.slow(1000, timeout=3))
            except (rhodes.Unknown, rhodes.NotExecuted, rhodes.Timeout) as error:
                said.append(error.verdict)
            said.append(time.monotonic() - began)
        thread = threading.Thread(target=call)
        thread.start()
        while py.inside() == 0:
            pass
        print("inside", flush=True)
        thread.join()
        assert said[0] in (1000, "UNKNOWN") and said[1] < 3.2, said
        end = time.monotonic() + 5
        while True:
            try:
                assert py.subtract(9, 1) == 8
                break
            except rhodes.Error:
                assert time.monotonic() < end
    """)
    assert process.stdout.readline() == "inside\n", process.communicate(timeout=5)
    os.kill(agent, signal.SIGKILL)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, out + err
    scenario.until(lambda: callers.rhodes.agents()["service/py"]["pid"] != agent, 10, "a new agent")
    callers.rhodes.until_ready("service/py")


def test_a_callee_that_dies_in_a_call_is_unknown_and_then_back(callers):
    callers("""
        try:
            py.die()
        except rhodes.Unknown as error:
            assert str(error)
        else:
            raise AssertionError("it answered")
        end = time.monotonic() + 10
        while True:
            try:
                assert py.subtract(9, 1) == 8
                break
            except (rhodes.NotExecuted, rhodes.Unknown):
                assert time.monotonic() < end
    """)


def test_a_closed_session_is_refused_and_closing_waits_for_calls(callers):
    callers("""
        results = []
        thread = threading.Thread(target=lambda: results.append(py.slow(300)))
        py.slow(1)
        thread.start()
        while py.inside() == 0:
            pass
        session.close()
        thread.join()
        assert results == [300], results
        assert session.closed and repr(session) == "<rhodes.Session closed>"
        session.close()
        session.stop()
        for refused in (lambda: py.slow(1), lambda: session.bind("service/py", "nothing: func()"), lambda: session.resource,
                        lambda: session.start(), lambda: py.slow.signature):
            try:
                refused()
            except ValueError as error:
                assert "closed" in str(error)
            else:
                raise AssertionError("a closed session works")
    """)


def test_programs_that_end_without_closing_end_well(callers):
    callers.rhodes.ok("run", "--as", "application/caller", "--", PYTHON, "-c",
                      "import rhodes; s = rhodes.open(); print(s.bind('service/py').subtract(3, 1))")
    callers.rhodes.ok("run", "--as", "application/caller", "--", PYTHON, "-c",
                      "import rhodes, gc; s = rhodes.open(); f = s.bind('service/py').subtract; del s; gc.collect(); "
                      "assert f(3, 1) == 2; del f; gc.collect(); s = rhodes.open(); assert s.resource == 'application/caller'")


def test_serving_is_refused_when_the_manifest_says_otherwise(callers):
    code = """
for signature, kind in (("f: func() -> u64", rhodes.TypeMismatch), ("g: func()", rhodes.NotFound)):
    try:
        session.serve(signature)(lambda: 1)
    except kind as error:
        assert str(error)
    else:
        raise AssertionError(signature)
for wrong, kind in ((lambda: session.serve("f: func() -> u32")(None), TypeError), (lambda: session.start(0), ValueError),
                    (lambda: session.start(65), ValueError), (lambda: session.serve("f")(int), ValueError)):
    try:
        wrong()
    except kind:
        pass
    else:
        raise AssertionError(kind)
session.serve("f: func() -> u32")(lambda: 1)
session.start(2)
for wrong in (lambda: session.start(), lambda: session.serve("f: func() -> u32")(lambda: 2)):
    try:
        wrong()
    except RuntimeError:
        pass
    else:
        raise AssertionError("twice")
threading.Timer(0.1, session.stop).start()
session.wait()
"""
    callers.rhodes.ok("run", "--as", "service/other", "--", PYTHON, "-c",
                      "import threading, rhodes\nsession = rhodes.open('service/other')\n" + code)


def test_opening_says_what_is_missing(callers, tmp_path):
    program = """
import sys, rhodes
for arguments, kind in (({"agent": sys.argv[1], "timeout": 0.2}, OSError), ({"resource": "service/other"}, rhodes.NotBound),
                        ({"timeout": 0}, ValueError), ({"timeout": float("nan")}, ValueError)):
    try:
        rhodes.open(**arguments)
    except kind as error:
        assert str(error), error
    else:
        raise AssertionError(arguments)
"""
    callers.rhodes.ok("run", "--as", "application/caller", "--", PYTHON, "-c", program, tmp_path / "nobody.sock")


def test_an_operator_calls_a_resource_from_its_own_agent(callers):
    program = f"""
import rhodes
with rhodes.open(agent={str(callers.rhodes.home / "agents" / "service.py" / "agent.sock")!r}, operator=True) as session:
    assert session.resource == "service/py"
    assert session.bind("").subtract(7, 2) == 5
"""
    callers.rhodes.ok("run", "--as", "application/caller", "--", PYTHON, "-c", program)


def test_the_example_does_what_its_page_says(center):
    example = HERE.parent / "example"
    center.ok("apply", "-f", example / "manifest.yaml")
    server = center.start("run", "--as", "service/words", "--", PYTHON, example / "server.py")
    try:
        assert "serving" in server.stdout.readline()
        client = ["run", "--as", "application/reader", "--", PYTHON, str(example / "client.py")]
        counted = center.ok(*client, stdin="the cat, The dog and the bird")
        assert counted.out.splitlines()[0].split() == ["3", "the"], counted
        refused = center(*client, stdin="...")
        assert refused.code == 1 and "the service says: there is no word" in refused.err, refused
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=10)
