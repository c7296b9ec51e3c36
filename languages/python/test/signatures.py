"""What service/py provides: the server, its manifest and its callers agree on this."""

TYPES = """
enum colour { red, dark-green }
record point { x-pos: s32, y-pos: s32 }
record everything {
  yes: bool, a: u8, b: u16, c: u32, d: u64, e: s8, f: s16, g: s32, h: s64, i: f32, j: f64, k: char, l: string,
  m: list<u8>, n: list<point>, o: point, p: tuple<u8, string>, q: option<string>, r: colour, s: list<list<u8>>
}
"""
SINGLE = ["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string", "list<u8>",
          "list<point>", "point", "tuple<u8, string>", "option<string>", "colour", "list<list<u8>>"]
SIGNATURES = [f"echo{i}: func(v: {text}) -> {text}" for i, text in enumerate(SINGLE)] + [
    "echo-all: func(v: everything) -> everything",
    "subtract: func(left: s32, right-side: s32) -> s32",
    "nothing: func()",
    "fail: func(text: string) -> u32",
    "say-no: func(text: string)",
    "wrong: func() -> u32",
    "slow: func(ms: u32) -> u32",
    "inside: func() -> u32",
    "meet: func() -> u32",
    "die: func()",
    "big: func(bytes: u32) -> list<u8>",
    "import: func(class: string) -> string",
    "close-session: func() -> string",
]
