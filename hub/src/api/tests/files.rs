//! The documentation, which needs no network, and the dashboard's files.

use super::*;

#[tokio::test]
async fn the_documentation_works_offline_and_without_logging_in() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    assert_eq!(nobody.get("/api/docs").await.header("location"), "/api/docs/");
    let page = nobody.get("/api/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    for (before, after) in page
        .text()
        .match_indices("src=\"")
        .map(|(at, _)| page.text()[at + 5..].to_owned())
        .map(|rest| {
            let path = rest.split('"').next().unwrap().to_owned();
            (path.clone(), path)
        })
    {
        assert!(!after.contains("//"), "{before} is loaded from elsewhere");
        let file = nobody
            .get(&format!("/api/docs/{}", after.trim_start_matches("./")))
            .await;
        assert_eq!(file.status, StatusCode::OK, "{after}");
        assert!(
            file.header("content-security-policy")
                .starts_with("default-src 'self'")
        );
    }
    assert!(
        nobody
            .get("/api/docs/swagger-initializer.js")
            .await
            .text()
            .contains("/api/openapi.json")
    );
    assert_eq!(nobody.get("/api/docs/nothing.js").await.code(), "not_found");
    let document = nobody.get("/api/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.json()["info"]["title"], "gander");
}

#[tokio::test]
async fn the_dashboards_paths_get_its_page_or_word_how_to_build_it() {
    let app = TestApp::start().await;
    let is_built =
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../web/dist/index.html")).exists();
    for path in [
        "/",
        "/login",
        "/setup",
        "/servers/7",
        "/monitoring.html",
        "/data-management.html",
        "/index.html",
    ] {
        let answer = app.anonymous().get(path).await;
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        if is_built {
            assert_eq!(
                (answer.status, answer.header("cache-control")),
                (StatusCode::OK, "no-cache"),
                "{path}"
            );
            let known = app
                .anonymous()
                .with("if-none-match", answer.header("etag"))
                .get(path)
                .await;
            assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{path}");
        } else {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(answer.text().contains("make web"), "{path}");
        }
    }
    for path in [
        "/favicon.gif",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/assets/../../Cargo.toml",
        "/.env",
    ] {
        let answer = app.anonymous().get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
    }
}
