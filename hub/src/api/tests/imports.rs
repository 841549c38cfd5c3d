//! Bringing in a fleet over the interface: the preview, what is refused, and that nothing is half done.

use super::*;

const PREVIEW: &str = "/api/servers/import/preview";
const IMPORT: &str = "/api/servers/import";

fn table(text: &str) -> Value {
    json!({"files": [{"name": "fleet.csv", "text": text}], "hub_key": true, "tags": ["new"]})
}

#[tokio::test]
async fn a_table_is_previewed_and_imported_and_its_passwords_stay_inside() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let mut request =
        table("name,ip,user,password,via\na,192.0.2.1,root,hunter2,\nb,192.0.2.2,root,hunter2,a\nc,x y,,,\n");
    let preview = admin.post(PREVIEW, request.clone()).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text());
    let plan = preview.json();
    assert_eq!(
        (&plan["add"], &plan["change"], &plan["skip"]),
        (&json!(2), &json!(0), &json!(1))
    );
    assert_eq!(plan["files"][0]["format"], "csv");
    assert_eq!(plan["rows"][1]["jump_row"], 0);
    let remark = &plan["rows"][2]["remarks"][0];
    assert_eq!(
        (&remark["code"], &remark["params"]["value"]),
        (&json!("bad_value"), &json!("x y"))
    );
    assert_eq!(remark["place"], json!({"file": "fleet.csv", "line": 4}));
    assert!(!preview.text().contains("hunter2"));
    assert_eq!(
        admin.get("/api/servers").await.json(),
        json!([]),
        "a preview writes nothing"
    );

    request["plan"] = plan["plan"].clone();
    let done = admin.post(IMPORT, request.clone()).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert_eq!(done.json()["added"].as_array().unwrap().len(), 2);
    let servers = admin.get("/api/servers").await.json();
    assert_eq!(servers[1]["jump_server_id"], servers[0]["id"]);
    assert_eq!(
        (&servers[0]["has_password"], &servers[0]["tags"]),
        (&json!(true), &json!(["new"]))
    );

    let again = admin.post(IMPORT, request).await;
    assert_eq!(
        (again.status, again.code()),
        (StatusCode::CONFLICT, "plan_changed".to_owned())
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_by_its_field() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin.post(PREVIEW, json!({"ssh_port": 0})).await;
    assert_eq!(answer.field("files")["code"], "required");
    assert_eq!(answer.field("ssh_port")["code"], "whole_number");
    let answer = admin
        .post(
            PREVIEW,
            json!({"files": [{"name": "x", "text": "secret", "format": "odt"}, {"text": "secret"}]}),
        )
        .await;
    assert_eq!(answer.field("files[0].format")["code"], "not_allowed");
    assert_eq!(answer.field("files[1].name")["code"], "required");
    assert!(!answer.text().contains("secret"));
    let answer = admin.post(IMPORT, table("ip\n192.0.2.1\n")).await;
    assert_eq!(answer.field("plan")["code"], "required");
    let mut request = table("name,ip,user,via\na,192.0.2.1,root,\nb,192.0.2.2,root,a\n");
    let plan = admin.post(PREVIEW, request.clone()).await.json();
    request["plan"] = plan["plan"].clone();
    request["rows"] = json!([1]);
    let answer = admin.post(IMPORT, request.clone()).await;
    assert_eq!(answer.field("rows")["code"], "jump_not_selected");
    request["rows"] = json!([]);
    let answer = admin.post(IMPORT, request.clone()).await;
    assert_eq!(answer.field("rows")["code"], "empty");
    request["host_keys"] = json!(["0 nonsense"]);
    let answer = admin.post(IMPORT, request).await;
    assert_eq!(answer.field("host_keys")["code"], "host_key");
    assert_eq!(admin.get("/api/servers").await.json(), json!([]));
}

#[tokio::test]
async fn a_roster_may_be_larger_than_other_requests_but_not_endless() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let comment = |bytes: usize| table(&format!("ip,user\n192.0.2.1,root\n#{}\n", "x".repeat(bytes)));
    let answer = admin.post(PREVIEW, comment(2 * 1024 * 1024)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = admin.post(PREVIEW, comment(9 * 1024 * 1024)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
