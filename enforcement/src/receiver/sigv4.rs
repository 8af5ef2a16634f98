//! AWS Signature Version 4, for requests without a query whose body is known.

use crate::sign::hmac;
use sha2::{Digest, Sha256};

/// Who signs.
pub(super) struct Signing<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) secret_access_key: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// `20150830T123600Z`.
    pub(super) time: &'a str,
}

/// The `Authorization` header. `headers` are those that are signed, with lower-case names.
pub(super) fn authorization(
    signing: &Signing<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let mut headers = headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}:{}", value.trim())).collect();
    let lines = lines.join("\n");
    let digest = hex::encode(Sha256::digest(body));
    let canonical = format!("{method}\n{path}\n\n{lines}\n\n{names}\n{digest}");
    let day = signing.time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/{}/aws4_request", signing.region, signing.service);
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", signing.time, hex::encode(Sha256::digest(canonical)));
    let first = hmac(format!("AWS4{}", signing.secret_access_key).as_bytes(), day.as_bytes());
    let key = [signing.region, signing.service, "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac(&key, part.as_bytes()));
    let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        signing.access_key_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Signing<'_> = Signing {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "service",
        time: "20150830T123600Z",
    };
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

    /// Three of the vectors that AWS publishes for Signature Version 4: `get-vanilla`, `get-vanilla-with-session-token`,
    /// `post-x-www-form-urlencoded`.
    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        let ends = |header: String, signed: &str, signature: &str| {
            let scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            let whole =
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={signature}");
            assert_eq!(header, whole);
        };
        ends(
            authorization(&EXAMPLE, "GET", "/", &[HOST, DATE], b""),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        ends(
            authorization(&EXAMPLE, "GET", "/", &[DATE, HOST, ("x-amz-security-token", token)], b""),
            "host;x-amz-date;x-amz-security-token",
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        );
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            HOST,
            ("content-length", "13"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
            DATE,
        ];
        ends(
            authorization(&EXAMPLE, "POST", "/", &form, b"Param1=value1"),
            "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        );
    }
}
