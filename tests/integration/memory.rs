//! The functions that move memory in the static executable.

use std::process::Command;

use crate::support::repository;

/// They are compiled for this test under other names, and held against loops of single bytes.
#[test]
fn memory_is_moved_whole_whatever_its_size_place_and_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("memory");
    let compiled = Command::new("gcc")
        .args([
            "-O2",
            "-ffreestanding",
            "-fno-tree-loop-distribute-patterns",
        ])
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(repository().join("tests/integration/memory.c"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    let run = Command::new(&program).output().unwrap();
    assert!(run.status.success(), "{run:?}");
}
