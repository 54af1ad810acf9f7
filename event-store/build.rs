//! The migrations are part of the binary: a changed file triggers a rebuild.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
