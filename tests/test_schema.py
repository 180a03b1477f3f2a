from __future__ import annotations

import subprocess
import sys
import textwrap


def test_threads_may_decode_a_type_at_the_same_time_first():
    """msgspec's own ``decode`` crashes the process here."""
    code = """
        import sys, threading
        from msgspec import defstruct
        from maas_jupyter import schema

        sys.setswitchinterval(1e-6)
        for turn in range(100):
            inner = defstruct("Inner", [(f"a{i}", dict[str, list[int | None]], {}) for i in range(30)])
            outer = defstruct("Outer", [("x", list[inner]), ("y", dict[str, inner])])
            together = threading.Barrier(8)

            def decode():
                together.wait()
                schema.decode(b'{"x": [{"a1": {"q": [1]}}], "y": {"k": {}}}', outer, where="it")

            threads = [threading.Thread(target=decode) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print("alive")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.strip() == "alive", done.stderr
