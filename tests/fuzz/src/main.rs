//! One target under libFuzzer: what `scripts/fuzz` builds and runs.

#[cfg(feature = "libfuzzer")]
fn main() {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = geodynamo_fuzz::TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("FUZZ_TARGET names no target");
        std::process::exit(2);
    };
    bolero::check!().for_each(|input: &[u8]| (target.run)(input));
}

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    for target in geodynamo_fuzz::TARGETS {
        println!("{}", target.name);
    }
}
