//! The messages of MLS (RFC 9420), as far as a delivery service makes and reads them.

use openmls::prelude::tls_codec::{Deserialize, DeserializeBytes, Serialize, VLBytes};
use openmls::prelude::{
    BasicCredential, Ciphersuite, ContentType, ExternalProposal,
    ExternalSender as MlsExternalSender, GroupId, KeyPackage, KeyPackageIn, LeafNodeIndex,
    MlsMessageIn, MlsMessageOut, OpenMlsProvider, ProtocolVersion, SenderExtensionIndex,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;

/// Proposals are added to those that wait.
const PROPOSALS_APPEND: u8 = 0;

/// Who proposes from outside who is in a call's group.
pub struct ExternalSender {
    signer: SignatureKeyPair,
    group: GroupId,
}

impl std::fmt::Debug for ExternalSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExternalSender")
    }
}

impl ExternalSender {
    /// One for the group of this channel.
    ///
    /// # Panics
    ///
    /// If there is no randomness to make a key of.
    pub fn new(channel: u64) -> Self {
        let signer = SignatureKeyPair::new(CIPHERSUITE.signature_algorithm());
        Self {
            signer: signer.expect("a key"),
            group: GroupId::from_slice(&channel.to_be_bytes()),
        }
    }

    /// As members put it into their groups: what opcode 25 holds.
    ///
    /// # Panics
    ///
    /// Never: it fits.
    pub fn to_bytes(&self) -> Vec<u8> {
        let credential = BasicCredential::new(b"sandbox voice".to_vec());
        let sender = MlsExternalSender::new(self.signer.public().into(), credential.into());
        sender.tls_serialize_detached().expect("it fits")
    }

    /// Proposes to add a user with this key package: what opcode 27 holds. None if the package is not
    /// in order.
    pub fn propose_add(&self, epoch: u64, user: u64, package: &[u8]) -> Option<Vec<u8>> {
        Some(self.build_proposals(epoch, &[], Some(parse_key_package(package, user)?)))
    }

    /// Proposes to remove these leaves and to add somebody.
    pub(super) fn build_proposals(
        &self,
        epoch: u64,
        removes: &[u32],
        add: Option<KeyPackage>,
    ) -> Vec<u8> {
        let sender = SenderExtensionIndex::new(0);
        let mut all = Vec::new();
        let mut write = |message: MlsMessageOut| {
            all.extend(message.tls_serialize_detached().expect("it fits"));
        };
        for leaf in removes {
            let removed = ExternalProposal::new_remove::<OpenMlsRustCrypto>(
                LeafNodeIndex::new(*leaf),
                self.group.clone(),
                epoch.into(),
                &self.signer,
                sender,
            );
            write(removed.expect("a proposal"));
        }
        if let Some(add) = add {
            let added = ExternalProposal::new_add::<OpenMlsRustCrypto>(
                add,
                self.group.clone(),
                epoch.into(),
                &self.signer,
                sender,
            );
            write(added.expect("a proposal"));
        }
        let mut payload = vec![PROPOSALS_APPEND];
        let list = VLBytes::new(all);
        payload.extend(list.tls_serialize_detached().expect("it fits"));
        payload
    }
}

/// A key package of this user that is in order.
pub(super) fn parse_key_package(bytes: &[u8], user: u64) -> Option<KeyPackage> {
    let package = KeyPackageIn::tls_deserialize_exact(bytes).ok()?;
    let provider = OpenMlsRustCrypto::default();
    let package = package.validate(provider.crypto(), ProtocolVersion::Mls10);
    let package = package.ok()?;
    let identity = package.leaf_node().credential().serialized_content();
    (identity == user.to_be_bytes()).then_some(package)
}

/// A commit, and the welcome that came with it.
#[derive(Debug)]
pub(super) struct CommitMessage {
    pub(super) epoch: u64,
    pub(super) group: u64,
    pub(super) commit: Vec<u8>,
    pub(super) welcome: Option<Vec<u8>>,
}

pub(super) fn parse_commit(bytes: &[u8]) -> Option<CommitMessage> {
    let (message, welcome) = MlsMessageIn::tls_deserialize_bytes(bytes).ok()?;
    let commit = bytes[..bytes.len() - welcome.len()].to_vec();
    let welcome = (!welcome.is_empty()).then(|| welcome.to_vec());
    let message = message.try_into_protocol_message().ok()?;
    if message.content_type() != ContentType::Commit {
        return None;
    }
    let group = message.group_id().as_slice().try_into().ok()?;
    Some(CommitMessage {
        epoch: message.epoch().as_u64(),
        group: u64::from_be_bytes(group),
        commit,
        welcome,
    })
}
