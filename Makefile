# The commands of this project; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_SOURCES := $(wildcard glupy_exporter/core/*.[ch] benchmarks/*.[ch] \
	tests/native/*.[ch] tests/fuzz/*.[ch] tests/support/core/*.[ch])

.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp for what the exporter needs and one for what its developers need besides.
$(BIN)/.runtime: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --disable-pip-version-check --editable .
	touch $@

$(BIN)/.dev: $(BIN)/.runtime
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[dev]'
	touch $@

.PHONY: venv
venv: $(BIN)/.dev ## make .venv with the tools for development

.PHONY: packages
packages: # Debian's packages for the demo, if they are missing
	@deploy/demo/packages.sh

.PHONY: demo
demo: packages ## show everything on a throw-away volume until Ctrl-C; ONCE=1: check and exit
	@$(MAKE) --no-print-directory --silent $(BIN)/.runtime
	@$(BIN)/python -B -m deploy.demo $(if $(ONCE),--once)

.PHONY: demo-clean
demo-clean: $(BIN)/.runtime ## remove what a demo that was killed has left
	@$(BIN)/python -B -m deploy.demo --clean

# Tests that run at a time, where they may run side by side.
WORKERS ?= 2
# Tests on real bricks: each of so many works with namespaces of its own, one file after the other.
EACH_APART := $(BIN)/python -m tests.support.apart $(BIN)/python
ON_BRICKS := --dist loadfile --max-worker-restart 2 --tx "$(WORKERS)*popen//python=$(EACH_APART)"

.PHONY: check
check: lint $(BIN)/.dev ## what a change needs at least: lint, unit tests, one test on a real brick
	$(BIN)/python -m pytest --numprocesses $(WORKERS) tests/unit
	$(EACH_APART) -m pytest \
		tests/gluster/test_exporter_end_to_end.py::test_counts_arrive

.PHONY: test test-unit test-gluster test-here test-apart test-versions test-machines
test: test-unit test-gluster test-here test-apart ## run all tests; those on real bricks need root and GlusterFS
# `make --jobs=2 test` runs two of them at once, as tests wait a lot; on two processors some then
# wait in vain. sed writes whole lines, where the dots of the two would mingle.
test-unit test-gluster test-here test-versions test-machines: SHELL := /bin/bash -o pipefail
test-unit: $(BIN)/.dev ## run the tests that need neither root nor GlusterFS
	$(BIN)/python -m pytest --numprocesses $(WORKERS) tests/unit | sed --unbuffered ''
test-gluster: $(BIN)/.dev ## run the tests on real bricks
	$(BIN)/python -m pytest $(ON_BRICKS) tests/gluster | sed --unbuffered ''
# Some measure, and the demo is one of this machine.
test-here: $(BIN)/.dev
	$(BIN)/python -m pytest tests/native tests/fuzz tests/demo | sed --unbuffered ''
# These make machines and file systems of their own, and mostly wait.
test-apart: $(BIN)/.dev
	$(MAKE) --jobs=$(WORKERS) --no-print-directory test-versions test-machines
test-versions: $(BIN)/.dev
	$(BIN)/python -m pytest tests/versions | sed --unbuffered ''
test-machines: $(BIN)/.dev
	$(BIN)/python -m pytest tests/packages tests/cluster | sed --unbuffered ''

FUZZ_SECONDS ?= 120

.PHONY: fuzz
fuzz: $(BIN)/.dev ## fuzz the exporter and the C core: six targets of FUZZ_SECONDS, twelve minutes in all
	for target in segment config web-config request state; do \
		$(BIN)/python -m tests.fuzz.run $$target $(FUZZ_SECONDS) || exit; \
	done
	$(BIN)/python -m tests.fuzz.core $(FUZZ_SECONDS)

# None takes an hour, unless a volume hangs.
BOUND := timeout --foreground --kill-after=1m --verbose 1h

.PHONY: bench
bench: $(BIN)/.runtime ## run the benchmarks; each says what it measures
	$(BOUND) $(BIN)/python -m benchmarks.heavy_hitters
	$(BOUND) $(BIN)/python -m benchmarks.fop_cost
	$(BOUND) $(BIN)/python -m benchmarks.trace_cost
	$(BOUND) $(BIN)/python -m benchmarks.new_files
	$(BOUND) $(BIN)/python -m benchmarks.collect
	$(BOUND) $(BIN)/python -m benchmarks.brick_cost
	$(BOUND) $(BIN)/python -m benchmarks.switch_cost
	$(BOUND) $(BIN)/python -m benchmarks.scrape_cost

.PHONY: lint
lint: $(BIN)/.dev ## check style, types, the C sources' format and the Prometheus rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	promtool check config prometheus/prometheus.yml
	promtool check rules prometheus/rules-native/*.yml
	promtool test rules prometheus/tests/*.yml
	amtool check-config prometheus/alertmanager.yml

.PHONY: docs
docs: $(BIN)/.runtime ## write docs/metrics.md and docs/settings.md from the code
	$(BIN)/python -m glupy_exporter.metrics.docs > docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md
	$(BIN)/python -m glupy_exporter.reference > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md

.PHONY: dashboards
dashboards: $(BIN)/.dev ## write grafana/dashboards*/*.json from grafana/*.dashboard.py
	$(BIN)/python -m grafana

.PHONY: rules
rules: $(BIN)/.runtime ## write prometheus/rules-native from prometheus/rules
	$(BIN)/python -m prometheus

PREVIEW := grafana/preview

$(PREVIEW)/node_modules/.package-lock.json: $(PREVIEW)/package-lock.json
	npm ci --no-audit --no-fund --prefix $(PREVIEW)
	touch $@

.PHONY: preview
preview: $(PREVIEW)/node_modules/.package-lock.json ## draw the dashboards with PROMETHEUS=URL, or with a demo's data
ifdef PROMETHEUS
	PROMETHEUS=$(PROMETHEUS) node $(PREVIEW)/preview.mjs --output build/preview
else
	@deploy/demo/packages.sh chromium
	@$(MAKE) --no-print-directory --silent $(BIN)/.runtime
	$(BIN)/python -B -m deploy.demo \
		--then 'node $(PREVIEW)/preview.mjs --minutes 10 --output build/preview --set volume=glupy-demo'
endif

.PHONY: pictures
pictures: $(PREVIEW)/node_modules/.package-lock.json $(BIN)/.runtime ## draw the pictures of docs/dashboards.md, with data that are made up
	$(BIN)/python -m benchmarks.history 'node $(PREVIEW)/preview.mjs --height 1080 --scale 0.7'

.PHONY: build-deps
build-deps: # what a build of the packages needs, if it is missing
	@deploy/build-deps.sh

# lintian is no part of a build; CI has it.
.PHONY: deb
deb: build-deps ## build the Debian packages into build/deb
	@rm -rf build/deb
	@mkdir -p build/deb/source
	tar --create --exclude=./build --exclude=./.venv --exclude=./.git --exclude=node_modules \
		--exclude='*.egg-info' --exclude=__pycache__ . | tar --extract --directory=build/deb/source
	mv build/deb/source/deploy/debian build/deb/source/debian
	cd build/deb/source && dpkg-buildpackage --unsigned-source --unsigned-changes --build=binary
	rm -rf build/deb/source
	@if [ "$$CI" = true ] || command -v lintian >/dev/null; then \
		lintian --fail-on=error build/deb/*.changes; \
	else \
		echo "note: lintian is not installed, so the packages are not checked"; \
	fi
	@echo "install them with: apt-get install ./build/deb/glupy-exporter_*.deb" \
		"./build/deb/glusterfs-xlator-glupy_*.deb"

.PHONY: release
release: $(BIN)/.runtime ## build the wheel, its dependencies with hashes and their SBOM into build/release
	rm -rf build/release build/lib
	$(BIN)/pip wheel -qq --disable-pip-version-check --no-deps --wheel-dir build/release .
	$(BIN)/python deploy/release.py build/release

.PHONY: clean
clean: ## remove what was built
	rm -rf build $(VENV) $(PREVIEW)/node_modules
