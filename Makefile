# Few verbs; each installs what it needs first. Debian 12 or 13, as root.
.POSIX:
.PHONY: help setup demo test test-vm deb lint bench soak clean

PY = .venv/bin/python

help:
	@echo "make demo     the whole story in a throw-away systemd, with measured figures"
	@echo "make test     all tests, those on a real systemd included"
	@echo "make test-vm  the packages: on Debian 13 in a virtual machine; RPM ones in a root of their own"
	@echo "make deb      the Debian packages, into dist/"
	@echo "make lint     formatting, types, spelling, shell"
	@echo "make bench    measurements, printed as tables"
	@echo "make soak     faults and races by the thousand, printed as tables; about an hour"
	@echo "make clean    remove what these verbs made here"

demo:
	@.ci/setup demo
	@$(PY) examples/demo/story.py

setup:
	@.ci/setup test

test: setup
	@$(PY) -m pytest -n 4 --dist worksteal

test-vm:
	@.ci/setup vm
	@python3 -B tests/vm

deb:
	@.ci/setup vm
	@packaging/build-deb

lint: setup
	@$(PY) -m pytest tests/test_linters.py

bench:
	@.ci/setup bench
	@$(PY) tests/bench

soak: setup
	@$(PY) tests/soak

clean:
	rm -rf .venv .demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
