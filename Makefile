# Everything is done by the scripts in dev/; this lists them.
.PHONY: help demo test bench soak fmt lint build

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

demo: ## Install what is missing, build, and run it all with sample tasks and traffic
	@dev/demo

test: ## All checks and tests; the last line is their sum
	@dev/test

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
