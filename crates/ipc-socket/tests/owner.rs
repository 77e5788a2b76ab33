//! Who owns the path of a socket.

use ipc_socket::UnixOptions;
use ipc_testing::Scope;

#[test]
fn the_owner_is_as_asked_or_an_error_that_leaves_nothing() {
    use std::os::unix::fs::MetadataExt;
    let scope = Scope::new();
    let path = scope.path("socket");
    let options = UnixOptions::new().owner(65534, 65534);
    if rustix::process::geteuid().is_root() {
        let listener = options.listen_stream(path.as_path()).expect("root may give it away");
        let found = path.metadata().expect("it is there");
        assert_eq!((found.uid(), found.gid()), (65534, 65534));
        drop(listener);
    } else {
        let error = options.listen_stream(path.as_path()).expect_err("only root may");
        assert!(error.to_string().contains("chown"), "{error}");
    }
    assert!(!path.exists());
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let options = UnixOptions::new().owner(uid, gid);
    options.bind_datagram(path.as_path()).expect("one's own, anybody may");
}
