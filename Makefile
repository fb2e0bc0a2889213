# The one entry point. Needs make and python3 (3.11 or later); everything else it fetches by itself.
# A target stands here only once something is behind it; to come: soak, screenshots.

PY := .venv/bin/python
READY := .venv/.ready
CODE := src tests tools bench
LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header

# An environment that was copied or moved with the checkout would import the other checkout's code.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(shell rm -f $(READY))
endif

.PHONY: help setup run test check lint fmt docs bench wire-day kill explore sim fuzz mutants mutants-worlds lock dist clean kill-live faults

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(READY) ## make .venv (every other target does so by itself)

$(READY): pyproject.toml locks/dev.txt locks/uv.txt tools/bootstrap
	@tools/bootstrap

run: $(READY) ## trade one generated session, with its data under build/run
	@rm -rf build/run
	@.venv/bin/holdfast --home build/run run --anew --seed 1 --floor ticks=250000 --floor instruments=12 \
	  --floor trades=3 --floor denials=1

test: lint ## everything: lint, types, layers, all tests; writes build/proved.json
	$(PY) -m pytest -n auto --dist worksteal --proved=build/proved.json

check: lint ## what must pass before a commit: lint, types, layers, rules about code and documents
	$(PY) -m pytest -q tests/arch tests/docs

lint: $(READY)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m ruff check $(CODE)
	$(PY) -m mypy
	.venv/bin/lint-imports --cache-dir build/cache/imports
	$(PY) -m tools.mutants --check
	$(PY) -m tools.mutate_worlds --check

fmt: $(READY) ## format, and mend what the linter can mend
	$(PY) -m ruff format $(CODE)
	$(PY) -m ruff check --fix $(CODE)

docs: $(READY) ## rewrite the generated sections of the documents
	$(PY) -m tools.generate_docs

bench: $(READY) ## measure, as ratios to a bare loop in the same run
	$(PY) -m bench.run

wire-day: $(READY) ## trade a whole day live against a simulated broker, twenty times as fast, and compare both books
	HOLDFAST_WIRE_DAY=1 $(PY) -m pytest -rP tests/wire/test_session.py -k whole_day

kill: $(READY) ## kill -9 at fifty moments of a day and at every write of the journal, and start again
	HOLDFAST_KILLS=50 $(PY) -m pytest -n auto --dist worksteal -rP tests/process/test_kill.py \
	  tests/process/test_kill_every_write.py tests/process/test_kill_store.py
	HOLDFAST_BLOCKS=1 HOLDFAST_DOWN_S=60 $(PY) -m pytest -rP tests/process/test_full_disk.py \
	  tests/process/test_store_down.py

kill-live: $(READY) ## kill -9 in live mode on a simulated broker: N=200 moments, drawn by phase
	HOLDFAST_LIVE_KILLS=$${N:-200} $(PY) -m pytest -p no:randomly -n 0 -s tests/process/test_kill_live.py
faults: $(READY) ## strike a live program at a simulated broker by every named fault of the wire, twenty times as fast
	HOLDFAST_FAULTS=all HOLDFAST_FAULTS_SPEED=$${HOLDFAST_FAULTS_SPEED:-20} $(PY) -m pytest -n 2 --dist worksteal -rP tests/process/faults

mutants: $(READY) ## break the code on purpose: every break must fail a test
	$(PY) -m tools.mutants
	$(PY) -m tools.mutate_core

explore: $(READY) ## take every way of one entry and one closer, seven steps deep
	HOLDFAST_DEPTH=7 $(PY) -m pytest -rP -n 2 tests/explorer

sim: $(READY) ## play 2,000 worlds: faults, crashes, strangers; fails below its floors
	$(PY) -m holdfast.worlds --worlds $${HOLDFAST_WORLDS:-2000}

fuzz: $(READY) ## decode a million damaged frames of the broker's feed, and its bodies
	HOLDFAST_FUZZ=1000000 $(PY) -m pytest -q -n auto tests/property/test_dhan_codec.py tests/property/test_dhan_bodies.py

mutants-worlds: $(READY) ## break safety code on purpose: within 500 worlds a checker must notice
	$(PY) -m tools.mutate_worlds

lock: $(READY) ## resolve the dependencies anew into locks/
	$(LOCK) --upgrade pyproject.toml -o locks/run.txt
	$(LOCK) --upgrade pyproject.toml --group dev -c locks/run.txt -o locks/dev.txt
	$(LOCK) --upgrade --group bootstrap -c locks/dev.txt -o locks/uv.txt
	$(LOCK) --upgrade --group sdk -o locks/sdk.txt

dist: $(READY) ## build the wheel and the source archive into build/dist
	@rm -rf build/dist
	$(PY) -m hatchling build -d build/dist

clean: ## remove everything that make made
	rm -rf build .venv
