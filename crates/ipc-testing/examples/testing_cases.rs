//! Prints what the conformance suite claims of a transport, theme by theme.

fn main() {
    let mut theme = "";
    for case in ipc_testing::CASES {
        if case.theme != theme {
            theme = case.theme;
            println!("\n{theme}");
        }
        println!("  {:<60} {}", case.name, case.claim);
    }
}
