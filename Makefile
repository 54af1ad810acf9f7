# Everything is done by the scripts in dev/; this lists them. ARGS goes to the script, for example
# make demo ARGS='--listen 127.0.0.1:8090'
.PHONY: help demo test bench soak fmt lint build

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

demo: ## Install what is missing, build, and run it all with sample tasks and traffic
	@dev/demo $(ARGS)

test: ## All checks and tests, or those that ARGS names; the last line is their sum
	@dev/test $(ARGS)

bench: ## The benchmarks of docs/performance.md
	@dev/bench $(ARGS)

soak: ## The long soak with kills and restarts
	@dev/soak $(ARGS)

fmt: ## Format all code
	cargo fmt --all

lint: ## The lints, as the tests apply them
	cargo clippy --workspace --all-targets -- -D warnings

build: ## The binary: target/release/plaudit
	cargo build --release --locked -p plaudit
