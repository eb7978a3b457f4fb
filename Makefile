# Nothing but Python 3.11 or newer and make is needed. `make run PORT=8001` chooses the port,
# DATA_DIR= the directory that everything is written to, DATABASE_URL= another PostgreSQL.
PYTHON ?= python3
BIN := .venv/bin
LINTED := $(wildcard accounts agents config conversations integrations tests)

.PHONY: run test bench chaos soak lint types format messages lock dev

run:
	@exec $(PYTHON) -m config.bootstrap run

test: lint
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/pytest -n $${TEST_PROCESSES:-auto}

# Our figures beside the floors of the same run; SECONDS= shortens the steps.
bench: dev
	@$(BIN)/python -m tests.bench

# Every line of the failure table on the running product; LINES="F-02 F-19" plays some of them.
chaos: dev
	@$(BIN)/python -m tests.chaos $(LINES)

# A fault every 20 seconds under load, and the memory of each role in the beginning and in the end.
soak: dev
	@$(BIN)/python -m tests.chaos.soak --minutes $${MINUTES:-10}

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types
	@$(BIN)/lint-imports
	@$(BIN)/djlint --lint --quiet templates $(wildcard */templates) $(wildcard */*/templates)
	@$(BIN)/codespell

types:
	@$(BIN)/mypy $(LINTED) manage.py

format: dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Packages for tests and linters, into the same .venv.
dev:
	@$(PYTHON) -m config.bootstrap dev

# The Romanian catalogue after a change of texts (needs the package gettext): new ones come in empty, and
# a test asks for their translation. The .mo is made at every start (config/catalogues.py).
messages: dev
	@$(BIN)/python manage.py makemessages --locale ro --ignore .venv --ignore var --ignore tests \
		--add-location file --no-wrap --no-obsolete

# New locks after a change of dependencies in pyproject.toml: hashes, and no address of any index.
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: dev
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
