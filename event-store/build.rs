//! The migrations are part of the binary: a changed file must reach it.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
