//! Rosters as people have them, and what becomes of them.

use proptest::prelude::*;

use super::{
    Action, Defaults, Field, File, Format, Hosts, Jump, Login, Plan, RemarkCode, Uploaded, plan, read,
};
use crate::model::{HostKey, Server, ServerId, Timestamp, Transport, server::ServerSpec};

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const KEY_FILE: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nnot looked at here\n-----END OPENSSH PRIVATE KEY-----\n";

fn hosts(files: &[(&str, &str)]) -> Hosts {
    let files: Vec<File> = files.iter().map(|(name, text)| File::new(*name, *text)).collect();
    read(&files, &Uploaded(&files))
}

fn server(id: i64, name: &str, ip: &str) -> Server {
    Server {
        id: ServerId(id),
        spec: ServerSpec::new(name, ip, "deploy", Transport::Auto),
        credential: None,
        has_password: true,
        has_key: false,
        host_key: None,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    }
}

fn defaults() -> Defaults {
    Defaults {
        user: Some("deploy".into()),
        ..Defaults::default()
    }
}

fn planned(files: &[(&str, &str)], enrolled: &[Server]) -> Plan {
    plan(&hosts(files), enrolled, &defaults())
}

/// `name user@ip:port` of each row that does something, and `name: code` of the others.
fn lines(plan: &Plan) -> Vec<String> {
    plan.rows
        .iter()
        .map(|row| match row.action {
            Action::Skip => format!("{}: {:?}", row.spec.name, row.remarks[0].code),
            _ => {
                let spec = &row.spec;
                let way = match row.jump {
                    Jump::None => String::new(),
                    Jump::Server(id) => format!(" through #{id}"),
                    Jump::Row(index) => format!(" through {}", plan.rows[index].spec.name),
                };
                format!(
                    "{} {}@{}:{}{way}",
                    spec.name, spec.ssh_user, spec.ip, spec.ssh_port
                )
            }
        })
        .collect()
}

#[test]
fn an_ssh_config_means_what_ssh_makes_of_it() {
    let config = r#"
# the first value holds, from top to bottom
Host web-1 web-2
    HostName %h.example.org
    User www
Host web-2
    User never
    Port 2222
Host db !web-1
    HostName = 10.0.0.9
    ProxyJump ops@bastion:2200
Host "bastion"
    HostName "192.0.2.1"
    Port=2200
    ProxyJump none
Host old
    HostName 10.0.0.8
    ProxyCommand ssh -q -W %h:%p bastion
Match host 10.0.0.8
    User ancient
Match exec "true"
    User nobody
Host *.internal
    User internal
Host *
    User deploy
    Port 22
"#;
    let plan = plan(&hosts(&[("config", config)]), &[], &Defaults::default());
    assert_eq!(
        lines(&plan),
        [
            "*.internal: PatternOnly",
            "*: PatternOnly",
            "web-1 www@web-1.example.org:22",
            "web-2 www@web-2.example.org:2222",
            "db deploy@10.0.0.9:22 through ops@bastion:2200",
            "bastion deploy@192.0.2.1:2200",
            "old ancient@10.0.0.8:22 through bastion",
            "ops@bastion:2200 ops@192.0.2.1:2200",
        ]
    );
    assert_eq!(plan.remarks.len(), 1, "{:?}", plan.remarks);
    assert_eq!(plan.remarks[0].code, RemarkCode::NotSupported);
    assert_eq!(plan.remarks[0].params["option"], "Match exec");
    assert_eq!(plan.remarks[0].place.as_ref().unwrap().line, 21);
}

#[test]
fn includes_and_keys_are_found_among_what_was_given_and_named_when_missing() {
    let config = "Include conf.d/*.conf gone.conf\nHost *\n IdentityFile ~/.ssh/id_fleet\n";
    let web = "Host web\n HostName 10.0.0.1\n";
    let all = [("config", config), ("web.conf", web), ("id_fleet", KEY_FILE)];
    let read = hosts(&all);
    assert_eq!(read.candidates.len(), 2, "the pattern and web, once");
    assert_eq!(read.remarks[0].code, RemarkCode::MissingFile);
    assert_eq!(read.remarks[0].params["path"], "gone.conf");
    assert_eq!(
        read.formats.iter().map(|(_, format)| *format).collect::<Vec<_>>(),
        [Format::SshConfig, Format::SshConfig, Format::PrivateKey]
    );
    let plan = plan(&read, &[], &defaults());
    let row = plan.rows.iter().find(|row| row.action == Action::Add).unwrap();
    let Login::Own { key: Some(key), .. } = &row.login else {
        panic!("{row:?}")
    };
    assert_eq!(key.path, "~/.ssh/id_fleet");

    let plan = planned(&all[..2], &[]);
    let row = plan.rows.iter().find(|row| row.action == Action::Add).unwrap();
    assert_eq!(
        (row.remarks[0].code, &row.login),
        (RemarkCode::MissingKey, &Login::Chosen)
    );
}

#[test]
fn an_include_within_a_block_counts_for_that_block_alone() {
    let files = [
        (
            "config",
            "Host a\n Include common\nHost b\n HostName 10.0.0.2\nHost *\n User late\n",
        ),
        ("common", "HostName 10.0.0.1\nUser early\n"),
    ];
    let mut texts: Vec<File> = files.iter().map(|(name, text)| File::new(*name, *text)).collect();
    texts[1].format = Some(Format::SshConfig);
    let plan = plan(&read(&texts, &Uploaded(&texts)), &[], &Defaults::default());
    assert_eq!(lines(&plan)[1..], ["a early@10.0.0.1:22", "b late@10.0.0.2:22"]);
}

#[test]
fn chains_and_circles_of_jump_hosts() {
    let chain = "Host t\n ProxyJump a,b\nHost a\nHost b\n";
    assert_eq!(
        lines(&planned(&[("config", chain)], &[])),
        [
            "t deploy@t:22 through b via a",
            "a deploy@a:22",
            "b deploy@b:22",
            "b via a deploy@b:22 through a",
        ]
    );
    let circle = "Host a\n ProxyJump b\nHost b\n ProxyJump a\n";
    let plan = planned(&[("config", circle)], &[]);
    assert_eq!(lines(&plan), ["a: BadJump", "b: BadJump"]);
    assert!(
        plan.rows[0].remarks[0].message.contains("a → b → a"),
        "{:?}",
        plan.rows[0]
    );

    let enrolled = [server(7, "gate", "192.0.2.7")];
    let plan = planned(
        &[(
            "config",
            "Host a\n ProxyJump gate\nHost b\n ProxyJump 192.0.2.7\n",
        )],
        &enrolled,
    );
    let adds: Vec<_> = lines(&plan)
        .into_iter()
        .filter(|line| line.contains("through"))
        .collect();
    assert_eq!(adds, ["a deploy@a:22 through #7", "b deploy@b:22 through #7"]);
}

#[test]
fn known_hosts_alone_are_hosts_and_beside_others_lend_their_keys() {
    // `ssh-keygen -H` of "web-1" with the salt of twenty zeros would be another hash: this one is made here.
    let hashed = hashed("web-1");
    let text = format!(
        "# comment\nweb-2,10.0.0.2 {ED25519}\n[db.example.org]:2222 {ED25519}\n{hashed} {ED25519}\n\
         @cert-authority *.example.org {ED25519} ca\n@revoked bad {ED25519}\nbad {ED25519}\n*.lan {ED25519}\nx y\n"
    );
    let enrolled = [server(1, "web-1", "web-1")];
    let plan = planned(&[("known_hosts", &text)], &enrolled);
    assert_eq!(
        lines(&plan),
        [
            "web-2 deploy@web-2:22",
            "db.example.org deploy@db.example.org:2222",
            "web-1 deploy@web-1:22",
            "bad: HostKeyRevoked",
            "*.lan: PatternOnly",
        ]
    );
    assert_eq!(plan.rows[2].action, Action::Change);
    assert_eq!(plan.rows[2].changes[0].field, "host_key");
    let codes: Vec<_> = plan.remarks.iter().map(|remark| remark.code).collect();
    assert_eq!(codes, [RemarkCode::CertAuthority, RemarkCode::BadLine]);

    let plan = planned(
        &[("config", "Host web-1\nHost other\n"), ("known_hosts", &text)],
        &[],
    );
    assert_eq!(plan.rows[0].host_key, Some(HostKey::parse(ED25519).unwrap()));
    assert_eq!(plan.rows[1].host_key, None);
    assert_eq!(plan.rows.len(), 2);
}

fn hashed(name: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use hmac::{Hmac, KeyInit, Mac};
    let salt = [7u8; 20];
    let mac = Hmac::<sha1::Sha1>::new_from_slice(&salt)
        .unwrap()
        .chain_update(name.as_bytes());
    let hash = mac.finalize().into_bytes();
    format!(
        "|1|{}|{}",
        BASE64_STANDARD.encode(salt),
        BASE64_STANDARD.encode(hash)
    )
}

#[test]
fn a_pinned_host_key_is_never_replaced() {
    let other = ED25519.replace("GKJl", "GKJm");
    let mut pinned = server(1, "a", "10.0.0.1");
    pinned.host_key = Some(HostKey::parse(ED25519).unwrap());
    let plan = planned(&[("known_hosts", &format!("10.0.0.1 {other}\n"))], &[pinned]);
    assert_eq!(plan.rows[0].action, Action::Skip);
    let codes: Vec<_> = plan.rows[0].remarks.iter().map(|remark| remark.code).collect();
    assert_eq!(codes, [RemarkCode::EnrolledAs, RemarkCode::HostKeyDiffers]);
}

const INI: &str = r#"
# a comment
lone.example.org
[web]
web[01:03].example.org ansible_user=www   # trailing
web-x ansible_host=10.0.0.5 ansible_port=2222 ansible_ssh_private_key_file=keys/id_web
[db]
db-[a:b] ansible_ssh_common_args='-o ProxyJump=jump@10.0.0.1 -o StrictHostKeyChecking=no'
win ansible_connection=winrm
tpl ansible_host="{{ secret }}"
localhost ansible_connection=local
[prod:children]
web
db
[prod:vars]
ansible_user=prod
[db:vars]
ansible_user="dba"
"#;

#[test]
fn an_ansible_inventory_in_ini() {
    let plan = planned(&[("hosts", INI)], &[]);
    assert_eq!(
        lines(&plan),
        [
            "lone.example.org deploy@lone.example.org:22",
            "web01.example.org www@web01.example.org:22",
            "web02.example.org www@web02.example.org:22",
            "web03.example.org www@web03.example.org:22",
            "web-x prod@10.0.0.5:2222",
            "db-a dba@db-a:22 through jump@10.0.0.1",
            "db-b dba@db-b:22 through jump@10.0.0.1",
            "win: OtherConnection",
            "tpl: BadValue",
            "localhost: OtherConnection",
            "jump@10.0.0.1 jump@10.0.0.1:22",
        ]
    );
    assert_eq!(plan.rows[4].spec.group.as_deref(), Some("web"));
    assert_eq!(plan.rows[4].spec.tags, ["prod", "web"]);
    assert_eq!(plan.rows[4].remarks[0].code, RemarkCode::MissingKey);
    assert_eq!(plan.rows[8].remarks[0].params["field"], "ansible_host");
    assert_eq!(plan.rows[8].remarks[0].place.as_ref().unwrap().line, 10);
}

#[test]
fn an_ansible_inventory_in_yaml_says_the_same() {
    let yaml = r#"
all:
  vars: &common
    ansible_user: prod
  hosts:
    lone.example.org:
  children:
    prod:
      children:
        web:
          hosts:
            web[01:02].example.org: {ansible_user: www}
            web-x:
              ansible_host: 10.0.0.5
              ansible_port: 2222
              other: [1, 2]
        db:
          vars:
            <<: *common
            ansible_ssh_extra_args: -J gate
          hosts: {db-a: ~}
"#;
    let plan = planned(&[("inventory.yml", yaml)], &[]);
    assert_eq!(
        lines(&plan),
        [
            "lone.example.org prod@lone.example.org:22",
            "web01.example.org www@web01.example.org:22",
            "web02.example.org www@web02.example.org:22",
            "web-x prod@10.0.0.5:2222",
            "db-a prod@db-a:22 through gate",
            "gate deploy@gate:22",
        ]
    );
    assert_eq!(plan.rows[3].spec.tags, ["prod", "web"]);
    let broken = planned(&[("inventory.yml", "all:\n  hosts: [a\n b: c")], &[]);
    assert_eq!(broken.remarks[0].code, RemarkCode::BadLine);
}

#[test]
fn a_table_in_either_language_with_any_delimiter() {
    let text = "\u{feff}名称;地址;端口;用户;标签;分组;密码\n一号;10.0.0.1;2222;root;\"a;b\";前端;p;w\n;10.0.0.2;;;;;\n三;10.0.0.3;0;;;;\n";
    let plan = planned(&[("fleet.csv", text)], &[]);
    assert_eq!(
        lines(&plan),
        [
            "一号 root@10.0.0.1:2222",
            "10.0.0.2 deploy@10.0.0.2:22",
            "三: BadValue"
        ]
    );
    assert_eq!(plan.rows[0].spec.tags, ["a", "b"]);
    assert_eq!(plan.rows[0].spec.group.as_deref(), Some("前端"));
    assert!(matches!(&plan.rows[0].login, Login::Own { password: Some(word), .. } if word.expose() == "p"));
    let remark = &plan.rows[2].remarks[0];
    assert_eq!(remark.params["value"], "0");
    assert!(
        remark.message.contains("from 1 to 65535 (column 3)"),
        "{}",
        remark.message
    );
    assert_eq!(remark.place.as_ref().unwrap().line, 4);

    let text = "Name,Host,SSH Port,colour,cpu_threshold,cpu_critical_threshold,via\na,10.0.0.1,,red,70,60,\nb,10.0.0.2,,,70,,a\n";
    let plan = planned(&[("x", text)], &[]);
    assert_eq!(lines(&plan), ["a: BadValue", "b: BadJump"]);
    assert_eq!(plan.remarks[0].params["option"], "column \"colour\"");
}

#[test]
fn a_plain_list_with_ranges_and_names() {
    let text = "10.0.0.[1:2]\nroot@[2001:db8::1]:2222 # far\n10.0.0.9 nine nine.example.org\nweb-1:2200, web-2\nhttp://x/y\n10.0.0.1\n";
    assert_eq!(
        lines(&planned(&[("pasted", text)], &[])),
        [
            "10.0.0.1 deploy@10.0.0.1:22",
            "10.0.0.2 deploy@10.0.0.2:22",
            "[2001:db8::1]:2222 root@2001:db8::1:2222",
            "nine deploy@10.0.0.9:22",
            "web-1:2200 deploy@web-1:2200",
            "web-2 deploy@web-2:22",
            "http://x/y: BadValue",
            "10.0.0.1: DuplicateOf",
        ]
    );
}

#[test]
fn formats_are_told_apart() {
    for (name, text, format) in [
        ("x", "Host a\n", Format::SshConfig),
        ("x", "Match all\nUser a\n", Format::SshConfig),
        ("x", &format!("a {ED25519}\n"), Format::KnownHosts),
        ("x", &format!("[a]:22 {ED25519}\n"), Format::KnownHosts),
        ("x", "[web]\na\n", Format::AnsibleIni),
        ("x", "a ansible_host=b\n", Format::AnsibleIni),
        ("x", "---\nall:\n", Format::AnsibleYaml),
        ("x", "all:\n  hosts:\n    a:\n", Format::AnsibleYaml),
        ("x", "name,ip\n", Format::Csv),
        ("x", "地址\t端口\n", Format::Csv),
        ("x.csv", "what\n", Format::Csv),
        ("x", "a\nb:22\n", Format::List),
        ("x", "[2001:db8::1]\n", Format::List),
        ("x", "", Format::List),
        ("x", KEY_FILE, Format::PrivateKey),
    ] {
        assert_eq!(hosts(&[(name, text)]).formats[0].1, format, "{name} {text:?}");
    }
}

#[test]
fn what_is_enrolled_changes_in_what_the_text_says_and_nothing_else() {
    let mut enrolled = server(3, "web", "10.0.0.1");
    enrolled.spec.tags = vec!["mine".into()];
    enrolled.spec.group = Some("old".into());
    let table = "name,ip,port,user,tags,group,interval\nweb,10.0.0.2,22,deploy,new,front,15\n";
    let plan = planned(&[("t.csv", table)], std::slice::from_ref(&enrolled));
    let row = &plan.rows[0];
    assert_eq!((row.action, row.server_id), (Action::Change, Some(ServerId(3))));
    let changes: Vec<_> = row
        .changes
        .iter()
        .map(|change| format!("{} {} -> {}", change.field, change.from, change.to))
        .collect();
    assert_eq!(
        changes,
        [
            "ip 10.0.0.1 -> 10.0.0.2",
            "interval_seconds  -> 15",
            "group old -> front",
            "tags mine -> mine, new",
        ]
    );
    let again = planned(
        &[("t.csv", "name,ip\nweb,10.0.0.1\nWEB2,10.0.0.1\n")],
        &[enrolled],
    );
    assert_eq!(lines(&again), ["web: AlreadyThere", "WEB2: DuplicateOf"]);
}

#[test]
fn without_anybody_to_log_in_as_a_host_is_left_out() {
    let plan = plan(&hosts(&[("x", "a\n")]), &[], &Defaults::default());
    assert_eq!(lines(&plan), ["a: NoUser"]);
    let nothing = plan_of_nothing();
    assert_eq!(nothing.remarks[0].code, RemarkCode::Nothing);
}

fn plan_of_nothing() -> Plan {
    plan(&hosts(&[("x", "\n# nothing\n")]), &[], &defaults())
}

#[test]
fn a_key_is_looked_at_once_and_a_bad_one_keeps_its_hosts_out() {
    let mut read = hosts(&[("c", "Host a b\n IdentityFile k\n"), ("k", KEY_FILE)]);
    let mut asked = 0;
    read.check_keys(None, |_, _| {
        asked += 1;
        Err("it is locked".into())
    });
    assert_eq!(asked, 1);
    let plan = plan(&read, &[], &defaults());
    assert_eq!(lines(&plan), ["a: BadKey", "b: BadKey"]);
}

#[test]
fn the_digest_follows_the_plan() {
    let table = [("t.csv", "name,ip\nweb,10.0.0.1\n")];
    let before = planned(&table, &[]);
    assert_eq!(before.digest(), planned(&table, &[]).digest());
    assert_ne!(
        before.digest(),
        planned(&table, &[server(1, "web", "10.0.0.1")]).digest()
    );
}

#[test]
fn anchors_within_anchors_are_bounded() {
    let mut text = String::from("a0: &a0 [x]\n");
    for index in 1..5_000 {
        text.push_str(&format!(
            "a{index}: &a{index} [*a{}, *a{}]\n",
            index - 1,
            index - 1
        ));
    }
    let read = hosts(&[("x.yml", &text)]);
    assert_eq!(read.remarks[0].code, RemarkCode::BadLine);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the text, no format panics, and every row that does something can be stored.
    #[test]
    fn any_text_gives_a_plan(
        text in prop_oneof![
            any::<String>(),
            proptest::collection::vec(
                prop_oneof![
                    Just("Host "), Just("Match "), Just("Include "), Just("ProxyJump "), Just("HostName "), Just("[web]"),
                    Just("[a:children]"), Just("web[1:9]"), Just("ansible_host="), Just("name,ip\n"), Just("\n"), Just("  "),
                    Just("*"), Just("!"), Just("%h"), Just("\""), Just("a,b"), Just("|1|AAAA|AAAA "), Just(ED25519),
                    Just("all:"), Just("hosts:"), Just("- &x"), Just("*x"), Just("<<: "), Just("@"), Just(":22"), Just("x"),
                ],
                0..60,
            )
            .prop_map(|words| words.concat()),
        ],
        format in prop::sample::select(Format::ALL.map(|(_, format)| format).to_vec()),
    ) {
        let file = File { format: Some(format), ..File::new("x", text.as_str()) };
        let files = [file];
        let plan = plan(&read(&files, &Uploaded(&files)), &[server(1, "a", "b")], &defaults());
        for row in plan.rows.iter().filter(|row| row.action != Action::Skip) {
            prop_assert!(!row.spec.name.is_empty() && row.spec.name.chars().count() <= 100);
            prop_assert!(crate::model::host_of(&row.spec.ip).is_some());
            prop_assert!(row.spec.ssh_port > 0);
            if let Jump::Row(jump) = row.jump {
                prop_assert!(plan.rows[jump].action != Action::Skip);
            }
        }
        prop_assert_eq!(plan.digest(), plan.digest());
        let _ = hosts(&[("x", text.as_str())]).candidates.first().map(|one| one.text(Field::Ip));
    }
}
