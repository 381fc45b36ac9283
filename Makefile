# demo and test are the two commands a newcomer needs; the rest is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROGRAM := $(VENV)/.program
STAMP := $(VENV)/.installed

RUNTIMES := .venv-tflite
RUNTIME_TESTS := $(addprefix tests/,models/test_info.py models/test_shipped.py models/test_verify.py \
	pose/decoders pose/delegates pose/test_delegate_trial.py pose/test_interpreter.py)

# Whom `make deb` builds for: this machine, unless told otherwise.
ARCH ?= $(shell dpkg --print-architecture)
DEB_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.PHONY: demo soak test test-runtimes test-box test-apparmor test-cameras app app-image dist test-ros deb check docs format clean venv

demo: $(PROGRAM) ## the real daemon on the bundled clip, with a broker of its own
	@$(BIN)/edgepose demo

MINUTES ?= 30

soak: $(STAMP) ## half an hour of faults, and a verdict
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || sh tests/support/install-mosquitto.sh
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

test: $(STAMP) ## everything, with a real broker
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || sh tests/support/install-mosquitto.sh
	@sh tests/support/install-chromium.sh || echo "tests of the page are skipped"
	@sh tests/support/install-asyncapi-parser.sh $(VENV)/node
	@sh tests/support/install-nats.sh || echo "tests of a cluster of brokers are skipped"
	@sh tests/support/install-promtool.sh || echo "the alert rules are not tried"
	@sh tests/support/install-proxies.sh || echo "tests of the proxies before the page are skipped"
	# three at a time on two cores: most of them wait for something
	$(BIN)/pytest -n 3 --dist loadfile
	@$(MAKE) --no-print-directory test-runtimes

test-runtimes: $(STAMP) ## the tests of models once more, with tflite-runtime and numpy 1
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
		$(MAKE) --no-print-directory $(RUNTIMES)/.installed \
			&& PYTHONPATH=$(RUNTIMES)/lib/schema $(RUNTIMES)/bin/python -m pytest $(RUNTIME_TESTS); \
	else \
		echo "tflite-runtime is not tested: it ends at Python 3.11, this is $$($(PYTHON) -V)"; \
	fi

test-box: $(STAMP) ## installer, package and service in a booted Debian; as root, for many minutes
	EDGEPOSE_BOX=$${EDGEPOSE_BOX:-$(CURDIR)/build/box} $(BIN)/pytest tests/deploy/test_install.py \
		tests/deploy/test_service.py tests/deploy/test_app_image.py

# EDGEPOSE_APP_IMAGE names the image; otherwise it is built with docker.
test-apparmor: $(STAMP) ## the App in Docker, confined by its AppArmor profile; as root, on a kernel with AppArmor
	[ -n "$$EDGEPOSE_APP_IMAGE" ] || $(MAKE) --no-print-directory app-image
	EDGEPOSE_APP_IMAGE=$${EDGEPOSE_APP_IMAGE:-edgepose-app:$$(python3 tools/version.py)} \
		$(BIN)/pytest tests/deploy/test_app_confined.py

test-cameras: $(STAMP) ## cameras as the kernel and the service show them; as root: plugs in a USB camera made of Python
	-modprobe -a vhci-hcd uvcvideo vivid
	$(BIN)/pytest tests/camera/test_hardware.py tests/deploy/test_sandbox.py

deb: ## a Debian package in dist/; ARCH=arm64 DEB_PYTHON=3.13 for another machine
	@deploy/deb/build.sh $(ARCH) $(DEB_PYTHON)

# Built from one commit, all of it but the image is the same to the byte each time.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
dist: $(STAMP) ## everything that a release consists of, in dist
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	@$(MAKE) --no-print-directory deb ARCH=amd64 DEB_PYTHON=3.13
	@$(MAKE) --no-print-directory deb ARCH=arm64 DEB_PYTHON=3.13
	@$(MAKE) --no-print-directory app
	tar --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner -C dist -c homeassistant-app \
		| gzip -n >dist/edgepose-homeassistant-app-$$(python3 tools/version.py).tar.gz
	@cd dist && sha256sum $$(find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | sort) | tee SHA256SUMS

# ENGINE is docker or buildah; for another processor QEMU must be registered with the kernel.
ENGINE ?= docker
PLATFORM ?= linux/$(ARCH)

app-image: app ## the App's image for PLATFORM, with ENGINE
	$(ENGINE) build --platform $(PLATFORM) --build-arg BUILD_VERSION=$$(python3 tools/version.py) \
		--tag edgepose-app:$$(python3 tools/version.py) dist/homeassistant-app/edgepose

ROS := .venv-ros

test-ros: $(STAMP) ## the bridge on real ROS 2, from a package index: x86-64 and Python 3.11 to 3.13
	[ -x $(ROS)/bin/python ] || $(PYTHON) -m venv $(ROS)
	$(ROS)/bin/python -m pip install --quiet "ros-rclpy[fastrtps]==9.1.2" ros-std-msgs ros-geometry-msgs \
		ros-sensor-msgs ros-visualization-msgs paho-mqtt pyyaml
	EDGEPOSE_ROS=$(CURDIR)/$(ROS)/bin/python $(BIN)/pytest tests/deploy/test_ros2_live.py

# IMAGE=REGISTRY/NAME: users download this image instead of building one.
app: $(STAMP) ## the Home Assistant App as a repository of its own in dist/homeassistant-app
	rm -rf dist/homeassistant-app
	mkdir -p dist
	cp -r deploy/homeassistant-app dist/
	cp CHANGELOG.md dist/homeassistant-app/edgepose/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist/homeassistant-app/edgepose .
	[ -z "$(IMAGE)" ] || echo "image: $(IMAGE)" >>dist/homeassistant-app/edgepose/config.yaml
	@echo dist/homeassistant-app

# ai-edge-litert is left out, or it would be taken: but the tests build networks with its schema.
$(RUNTIMES)/.installed: pyproject.toml $(STAMP)
	$(PYTHON) -m venv $(RUNTIMES)
	$(RUNTIMES)/bin/python -m pip install --quiet "tflite-runtime>=2.14" "numpy<2" \
		"opencv-python-headless<4.12" msgspec paho-mqtt prometheus-client tflite tqdm \
		flatbuffers pytest pytest-timeout
	$(RUNTIMES)/bin/python -m pip install --quiet --no-deps -e .
	mkdir -p $(RUNTIMES)/lib/schema/ai_edge_litert
	cp $$($(BIN)/python -c 'import ai_edge_litert.schema_py_generated as s; print(s.__file__)') \
		$(RUNTIMES)/lib/schema/ai_edge_litert/
	@touch $@

check: $(STAMP) ## format, lint, types, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not hardware"

docs: $(STAMP) ## the generated pages, and the site in build/site: open index.html
	$(BIN)/python tools/write_docs.py
	$(BIN)/python -m pip install --quiet --group docs
	# not --quiet: that hides warnings from strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(STAMP)

# All that the program can do; what only developers need takes as much room again.
$(PROGRAM): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -e '.[broker,eval,mcap,stream,web]'
	@touch $@

$(STAMP): $(PROGRAM)
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

clean:
	rm -rf $(VENV) $(RUNTIMES) $(ROS) .mypy_cache .ruff_cache .pytest_cache build dist
