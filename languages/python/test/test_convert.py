"""Every type through a writer and a reader, and every way to get a value wrong. No process is started here."""
import array
import enum
import math
import struct

import pytest

import rhodes
import rhodes_converter


def through(type_text, value, types=None):
    return rhodes_converter.through(f"f: func(a: {type_text})", types, {"a": value}).a


INTEGERS = {"u8": (0, 2**8 - 1), "u16": (0, 2**16 - 1), "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1),
            "s8": (-2**7, 2**7 - 1), "s16": (-2**15, 2**15 - 1), "s32": (-2**31, 2**31 - 1), "s64": (-2**63, 2**63 - 1)}


@pytest.mark.parametrize("type_text", INTEGERS)
def test_an_integer_passes_at_its_limits_and_is_refused_beyond(type_text):
    low, high = INTEGERS[type_text]
    for value in (low, 0, 1, high):
        assert through(type_text, value) == value
    for value in (low - 1, high + 1, 2**64, -2**64, 10**100):
        with pytest.raises(OverflowError, match=f"argument a: {type_text} is {low} to {high}, not"):
            through(type_text, value)


def test_what_is_no_integer_is_no_u32():
    class Index:
        def __index__(self):
            return 7
    assert through("u32", Index()) == 7
    for value in (1.0, "1", None, b"1", [1]):
        with pytest.raises(TypeError, match=r"argument a: expected an int \(u32\), not"):
            through("u32", value)


def test_the_exception_of_an_index_method_is_passed_on():
    class Broken:
        def __index__(self):
            raise RuntimeError("mine")
    with pytest.raises(RuntimeError, match="mine"):
        through("u32", Broken())


def test_floats_keep_their_value_and_f32_its_range():
    for value in (0.0, -1.5, math.pi, 1e308, math.inf, -math.inf):
        assert through("f64", value) == value
    assert math.isnan(through("f64", math.nan)) and math.isnan(through("f32", math.nan))
    assert through("f32", math.pi) == struct.unpack("f", struct.pack("f", math.pi))[0]
    assert through("f32", math.inf) == math.inf
    assert through("f64", 3) == 3.0
    with pytest.raises(OverflowError, match="too large for f32"):
        through("f32", 1e39)
    with pytest.raises(TypeError, match="expected a float"):
        through("f64", "1")


def test_a_bool_is_true_or_false_and_nothing_else():
    assert through("bool", True) is True and through("bool", False) is False
    for value in (1, 0, None, "true"):
        with pytest.raises(TypeError, match="expected True or False"):
            through("bool", value)


def test_a_char_is_one_character():
    for value in ("a", "\0", "é", "€", "😀", "\U0010ffff"):
        assert through("char", value) == value
    for value in ("", "ab", "\ud800"):
        with pytest.raises(ValueError):
            through("char", value)
    with pytest.raises(TypeError):
        through("char", 97)


def test_a_string_is_any_text():
    for value in ("", "plain", "nul\0inside", "Žluťoučký kůň 😀", "x" * 100_000):
        assert through("string", value) == value
    with pytest.raises(ValueError, match="without surrogates"):
        through("string", "\udc80")
    with pytest.raises(TypeError, match="expected a str"):
        through("string", b"bytes")


def test_bytes_are_taken_from_any_buffer():
    numbers = array.array("H", [1, 2, 3])
    for value in (b"", b"\0\xff", bytearray(b"abc"), memoryview(b"abcdef")[1:4], numbers, b"x" * 500_000):
        back = through("list<u8>", value)
        assert type(back) is bytes and back == memoryview(value).tobytes()
    for value in ("text", [1, 2], 3, None, memoryview(b"abcdef")[::2]):
        with pytest.raises(TypeError, match="expected bytes or a contiguous buffer"):
            through("list<u8>", value)


def test_lists_are_any_sequence_of_the_right_elements():
    assert through("list<u16>", []) == []
    assert through("list<u16>", (1, 2)) == [1, 2]
    assert through("list<u16>", range(3)) == [0, 1, 2]
    assert through("list<string>", ["a", "", "c"]) == ["a", "", "c"]
    assert through("list<list<u8>>", [b"a", b""]) == [b"a", b""]
    assert through("list<list<list<s32>>>", [[[1], []], []]) == [[[1], []], []]
    for value in ("ab", {1, 2}, {"a": 1}, 5, None):
        with pytest.raises(TypeError, match="expected a list"):
            through("list<u16>", value)
    with pytest.raises(OverflowError, match=r"argument a\[2\]: u16 is"):
        through("list<u16>", [1, 2, 70000])


def test_a_list_that_changes_while_it_is_converted_is_sent_as_it_was():
    class Nasty:
        def __index__(self):
            values.clear()
            return 1
    values = [Nasty(), 2, 3]
    assert through("list<u16>", values) == [1, 2, 3]


def test_tuples_have_their_length():
    assert through("tuple<u8, string, f64>", (1, "b", 2.5)) == (1, "b", 2.5)
    assert type(through("tuple<u8>", [1])) is tuple
    for value in ((), (1,), (1, 2, 3)):
        with pytest.raises(ValueError, match="expected a tuple of 2"):
            through("tuple<u8, u8>", value)
    with pytest.raises(OverflowError, match=r"argument a\[1\]"):
        through("tuple<u8, u8>", (1, 256))


def test_an_option_is_none_or_the_value():
    assert through("option<u8>", None) is None
    assert through("option<u8>", 0) == 0
    assert through("option<list<u8>>", b"") == b""
    assert through("list<option<string>>", ["a", None]) == ["a", None]
    with pytest.raises(OverflowError):
        through("option<u8>", 256)


COLOURS = "enum colour { red, dark-green }"


def test_an_enum_is_the_name_of_a_case():
    class Colour(str, enum.Enum):
        RED = "red"
    assert through("colour", "dark-green", COLOURS) == "dark-green"
    assert through("colour", Colour.RED, COLOURS) == "red"
    with pytest.raises(ValueError, match="expected one of red dark-green, not 'blue'"):
        through("colour", "blue", COLOURS)
    with pytest.raises(TypeError):
        through("colour", 0, COLOURS)


PLAIN = "record point { x-pos: s32, y-pos: s32, note: option<string> }"


def test_a_record_comes_from_a_dict_an_object_or_a_record():
    class Point:
        x_pos, y_pos, note = 1, -2, "hi"
    for value in (Point(), rhodes.Record(x_pos=1, y_pos=-2, note="hi"), {"x_pos": 1, "y-pos": -2, "note": "hi"}):
        back = through("point", value, PLAIN)
        assert back == rhodes.Record(x_pos=1, y_pos=-2, note="hi")
        assert back.x_pos == back["x-pos"] == back["x_pos"] == 1 and dict(back)["note"] == "hi"
    with pytest.raises(TypeError, match="expected a record with 'note'"):
        through("point", {"x_pos": 1, "y_pos": 2}, PLAIN)
    with pytest.raises(TypeError, match="more members"):
        through("point", {"x_pos": 1, "y_pos": 2, "note": None, "z": 3}, PLAIN)
    with pytest.raises(OverflowError, match="argument a.y-pos: s32 is"):
        through("point", {"x_pos": 1, "y_pos": 2**31, "note": None}, PLAIN)
    with pytest.raises(TypeError, match=r"argument a\[1\].x-pos: expected an int"):
        through("list<point>", [{"x_pos": 1, "y_pos": 2, "note": None}, {"x_pos": "1", "y_pos": 2, "note": None}], PLAIN)


def test_a_property_that_raises_is_not_taken_for_a_missing_member():
    class Point:
        y_pos, note = 1, None

        @property
        def x_pos(self):
            raise LookupError("mine")
    with pytest.raises(LookupError, match="mine"):
        through("point", Point(), PLAIN)


def test_records_behave_as_values():
    import copy
    import pickle
    record = rhodes.Record(wait_ms=1)
    record["from"] = "x"
    assert record.from_ == record["from"] == "x" and list(record) == ["wait_ms", "from"] and len(record) == 2
    record.wait_ms = 5
    assert record["wait-ms"] == 5 and "wait_ms" in dir(record)
    assert repr(record) == "Record(wait_ms=5, from='x')"
    assert copy.deepcopy(record) == record == pickle.loads(pickle.dumps(record)) != rhodes.Record(wait_ms=5)
    assert record != {"wait_ms": 5, "from": "x"}
    with pytest.raises(AttributeError, match="no member 'nothing'"):
        record.nothing
    with pytest.raises(KeyError):
        record["nothing"]
    with pytest.raises(TypeError):
        hash(record)


def test_deep_types_work_in_both_directions():
    deep = "list<option<tuple<string, list<record-of>>>>"
    types = "record record-of { id: u64, tags: list<string>, at: tuple<f32, bool> }"
    value = [("a", [{"id": 1, "tags": ["x", "y"], "at": (0.5, True)}]), None]
    assert through(deep, value, types) == [("a", [rhodes.Record(id=1, tags=["x", "y"], at=(0.5, True))]), None]


def test_hostile_bytes_are_garbage_and_nothing_worse():
    signature = "f: func(a: list<u16>, b: string, c: option<u8>, d: bool, e: char)"
    for body in (b"", b"\0" * 10, b"\xff" * 64, struct.pack("<IIII", 4, 0xffffffff, 0, 0) + b"\0" * 48,
                 struct.pack("<IIIIBBBxI", 0, 0, 24, 4, 0, 0, 1, 65) + b"\xff\xfe\xfd\xfc",
                 struct.pack("<IIIIBBBxI", 0, 0, 0, 0, 7, 0, 1, 65), struct.pack("<IIIIBBBxI", 0, 0, 0, 0, 0, 0, 9, 65),
                 struct.pack("<IIIIBBBxI", 0, 0, 0, 0, 0, 0, 1, 0xd800)):
        with pytest.raises(rhodes.Garbage):
            rhodes_converter.read(signature, None, body)


def test_values_that_are_refused_leak_nothing():
    import gc
    import sys
    value = [{"x_pos": 1, "y_pos": 2, "note": "n" * 50}, {"x_pos": 1, "y_pos": "no", "note": None}]
    def refused():
        with pytest.raises(TypeError):
            through("list<point>", value, PLAIN)
        through("list<point>", value[:1], PLAIN)
    refused()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        refused()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100
