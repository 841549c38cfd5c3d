//! Who an agent is: its certificate, and nothing else.

use std::time::{Duration, SystemTime};

use gander_hub::model::{Actor, ServerId, Timestamp};
use gander_proto::v1::{self, agent_service_client::AgentServiceClient};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SerialNumber};
use rustls::pki_types::CertificateDer;
use tonic::Code;

use crate::{
    agent::{Agent, Hub, Identity, csr, machine},
    support::values,
};

/// A client certificate of an authority, with this serial number, that ends at this moment.
fn certificate(issuer: &Issuer<'_, KeyPair>, serial: Vec<u8>, not_after: SystemTime) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = (not_after - Duration::from_secs(90 * 24 * 3600)).into();
    params.not_after = not_after.into();
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).unwrap();
    Identity::new(&[certificate.der().to_vec()], key)
}

fn serial_of(identity: &Identity) -> Vec<u8> {
    let (_, certificate) = x509_parser::parse_x509_certificate(identity.certificate()).unwrap();
    certificate.tbs_certificate.raw_serial().to_vec()
}

/// The code with which a stream with this certificate is refused.
async fn refusal(hub: &Hub, identity: Option<&Identity>) -> Code {
    let channel = hub.connect(identity).await.unwrap();
    Agent::open(channel).await.err().expect("a refusal").code()
}

#[tokio::test]
async fn without_a_certificate_nobody_streams_or_renews() {
    let hub = Hub::start().await;
    assert_eq!(refusal(&hub, None).await, Code::Unauthenticated);
    let channel = hub.connect(None).await.unwrap();
    let request = v1::RenewRequest {
        csr_der: csr(&KeyPair::generate().unwrap()),
    };
    let refused = AgentServiceClient::new(channel).renew(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    hub.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_worth_nothing() {
    let (hub, identity, _) = Hub::with_agent().await;
    let other = Hub::start().await;
    // The same serial number, by another hub's authority.
    let (certificate_of_other, key) = other.pipeline.store.authority().await.unwrap().unwrap();
    let issuer = Issuer::from_ca_cert_der(
        &CertificateDer::from(certificate_of_other),
        KeyPair::from_pem(key.expose()).unwrap(),
    )
    .unwrap();
    let forged = certificate(
        &issuer,
        serial_of(&identity),
        SystemTime::now() + Duration::from_secs(3600),
    );
    // TLS 1.3 lets the client believe that it is connected until it reads the alert.
    let refused = match hub.connect(Some(&forged)).await {
        Err(_) => true,
        Ok(channel) => Agent::open(channel).await.is_err(),
    };
    assert!(refused);
    assert!(hub.board.all().is_empty());
    other.stop().await;
    hub.stop().await;
}

#[tokio::test]
async fn an_expired_an_unknown_and_a_revoked_certificate_are_refused_for_good() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (authority, key) = hub.pipeline.store.authority().await.unwrap().unwrap();
    let authority = CertificateDer::from(authority);
    let issuer = Issuer::from_ca_cert_der(&authority, KeyPair::from_pem(key.expose()).unwrap()).unwrap();

    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    let expired = certificate(&issuer, serial_of(&identity), yesterday);
    assert_eq!(refusal(&hub, Some(&expired)).await, Code::PermissionDenied);

    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    let mut serial = serial_of(&identity);
    serial[5] ^= 0x55;
    let unknown = certificate(&issuer, serial, tomorrow);
    assert_eq!(refusal(&hub, Some(&unknown)).await, Code::PermissionDenied);
    let no_agent = certificate(&issuer, vec![1, 2, 3], tomorrow);
    assert_eq!(refusal(&hub, Some(&no_agent)).await, Code::Unauthenticated);

    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let id = hub.pipeline.store.agents().await.unwrap()[0].id;
    let revoked = hub
        .pipeline
        .store
        .revoke_agent(id, &Actor::user("ada"), Timestamp::now())
        .await;
    assert!(revoked.unwrap());
    assert_eq!(agent.end().await.code(), Code::PermissionDenied);
    assert_eq!(refusal(&hub, Some(&identity)).await, Code::PermissionDenied);
    hub.stop().await;
}

#[tokio::test]
async fn a_revocation_by_another_process_cuts_the_stream() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let now = Timestamp::now().as_millis();
    hub.pipeline
        .sql(&format!("UPDATE agent SET revoked_at = {now}"))
        .await;
    assert_eq!(agent.end().await.code(), Code::PermissionDenied);
    hub.stop().await;
}

#[tokio::test]
async fn what_a_message_says_of_who_it_is_from_is_not_believed() {
    let hub = Hub::start().await;
    let token = hub.token(2).await;
    let (_victim, victim) = hub.enrol(&token, machine(1)).await;
    let (identity, own) = hub.enrol(&token, machine(2)).await;
    // Hello names machine 1; the certificate is machine 2's.
    let (mut agent, welcome) = Agent::start(&hub, &identity).await;
    assert_eq!(welcome.server_id, own.server_id);
    agent.send(&[(agent.now_ms(), values(777, 500))], None).await;
    agent.acknowledged().await;
    let live = |id| hub.pipeline.live.server(ServerId(id)).unwrap();
    assert!(live(own.server_id).snapshot.is_some());
    assert!(live(victim.server_id).snapshot.is_none());
    hub.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_the_same_agents() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let key = KeyPair::generate().unwrap();
    let channel = hub.connect(Some(&identity)).await.unwrap();
    let request = v1::RenewRequest { csr_der: csr(&key) };
    let renewed = AgentServiceClient::new(channel)
        .renew(request)
        .await
        .unwrap()
        .into_inner();
    assert!(renewed.renew_after_ms < renewed.not_after_ms);
    let renewed = Identity::new(&renewed.certificate_chain_der, key);
    assert_ne!(renewed.certificate(), identity.certificate());
    let (_agent, welcome) = Agent::start(&hub, &renewed).await;
    assert_eq!(welcome.server_id, enrolled.server_id);
    hub.stop().await;
}
