//! What only shows in a process of its own: the two output streams, and the start without a host.

use std::process::{Command, Output};

use azure_functions_sdk::observability;
use tracing::{error, info, warn};

const CHILD: &str = "SDK_TEST_CHILD";

/// Runs one test of this binary again, as a child that knows that it is one.
fn run_again(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env_remove("RUST_LOG")
        .env_remove("FUNCTIONS_CUSTOMHANDLER_PORT")
        .output()
        .unwrap()
}

fn json_lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn errors_go_to_stderr_and_the_rest_to_stdout() {
    if std::env::var_os(CHILD).is_some() {
        observability::init("info");
        info!("all is well");
        warn!("not so well");
        error!("badly");
        // A child's panic on purpose, in one line as well.
        _ = std::thread::spawn(|| panic!("on\npurpose")).join();
        return;
    }
    let output = run_again("process::errors_go_to_stderr_and_the_rest_to_stdout");
    let messages = |bytes| {
        let lines = json_lines(bytes).into_iter();
        let pairs = lines.map(|line| {
            format!(
                "{} {}",
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap()
            )
        });
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(
        messages(&output.stdout),
        ["INFO all is well", "WARN not so well"]
    );
    assert_eq!(messages(&output.stderr), ["ERROR badly", "ERROR panic"]);
    assert_eq!(
        json_lines(&output.stderr)[1]["panic.message"],
        "on\npurpose"
    );
    assert!(output.status.success());
}

/// A scanner that asks for thousands of paths must not fill the log with errors, at which alert rules look.
#[tokio::test]
async fn who_asks_for_what_is_not_there_leaves_no_error_in_the_log() {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    if std::env::var_os(CHILD).is_some() {
        observability::init("info");
        let host = azure_functions_sdk::HostConfig::default();
        let router = azure_functions_sdk::FunctionApp::new((), host)
            .into_router()
            .unwrap();
        for request in [
            Request::get("/api/map/"),
            Request::head("/wp-login.php"),
            Request::post("/api/x"),
        ] {
            let answer = router.clone().oneshot(request.body(Body::empty()).unwrap());
            assert_eq!(answer.await.unwrap().status(), StatusCode::NOT_FOUND);
        }
        // A call of the host for a function that is not there is another matter.
        let call = Request::post("/Nobody").body(Body::empty()).unwrap();
        router.oneshot(call).await.unwrap();
        return;
    }
    let output = run_again("process::who_asks_for_what_is_not_there_leaves_no_error_in_the_log");
    assert!(output.status.success(), "{output:?}");
    let errors: Vec<_> = [output.stdout, output.stderr]
        .iter()
        .flat_map(|bytes| json_lines(bytes))
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert!(
        matches!(&errors[..], [one] if one.to_string().contains("Nobody")),
        "{errors:#?}"
    );
}

#[tokio::test]
async fn without_the_host_the_start_says_what_to_do() {
    if std::env::var_os(CHILD).is_some() {
        let error = crate::support::app().serve().await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("start this program through the Functions host, `func start`")
        );
        return;
    }
    let output = run_again("process::without_the_host_the_start_says_what_to_do");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// `kill -9` of a host. A shell stands for it: what it leaves behind must not keep its port.
#[cfg(unix)]
#[test]
fn a_handler_whose_host_was_killed_ends() {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
    const TEST: &str = "process::a_handler_whose_host_was_killed_ends";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(crate::support::app().serve()).unwrap();
        return;
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut host = Command::new("sh")
        .args(["-c", "\"$0\" --exact \"$1\" & wait"])
        .arg(std::env::current_exe().unwrap())
        .arg(TEST)
        .env(CHILD, "1")
        .env(PORT, address.port().to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Generous, because a loaded machine is slow and no test measures time.
    let within_a_minute = |done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    within_a_minute(&|| TcpStream::connect(address).is_ok());
    // As long as its host lives, so does it.
    std::thread::sleep(Duration::from_secs(3));
    assert!(TcpStream::connect(address).is_ok());
    host.kill().unwrap();
    host.wait().unwrap();
    within_a_minute(&|| TcpStream::connect(address).is_err());
}
