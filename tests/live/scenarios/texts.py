"""Texts that are hard to carry from one server to another."""

TRICKY = [
    ("emoji", "👩‍👩‍👧‍👦 🏳️‍🌈 🇯🇵 ❤️"),
    ("cjk", "ノックします 敲門 문을 두드리다 䨺 𠮷野家"),
    ("rtl and combining", "שלום عالم e\u0301 n\u0303 \u202eabc\u202c \u200f\u200e"),
    ("controls", "a\u0001b\u0008c\td\ne\u000bf\u000cg\rh\u001bi\u001fj\u007fk\u0080l\u009f"),
    ("NUL", "a\u0000b"),
    ("quotes and slashes", "\"double\" 'single' \\back\\ /slash/ <b>&amp;</b> \\u0041 \\n"),
    ("line separators", "a\u2028b\u2029c\u0085d\ufeffe"),
    ("noncharacters", "\ufffe \uffff \U0010ffff \U0001fffe \ue000"),
    ("empty", ""),
    ("long", "長" * 3000 + "x" * 100),
]
