//! Compiles the C++ that stands between this package and Boost's queue. Leaves out everything else:
//! the other libraries build themselves.

fn main() {
    #[cfg(feature = "boost")]
    {
        println!("cargo::rerun-if-changed=src/boost_queue.cpp");
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            // What Boost's headers do is not ours to be warned of.
            .warnings(false)
            .file("src/boost_queue.cpp")
            .compile("boost_queue");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
