// An authorization server by others (oidc-provider): oidc.mjs PORT JWKS. Tokens are opaque; who asks must show who it is.
import Provider from "oidc-provider";

const [port, jwks] = process.argv.slice(2);
const client = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };
const anyone = { enabled: true, allowedPolicy: async () => true };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: "basic", client_secret: "client secret/+&", token_endpoint_auth_method: "client_secret_basic" },
    { ...client, client_id: "post", client_secret: "client secret/+&", token_endpoint_auth_method: "client_secret_post" },
    { ...client, client_id: "jwt", token_endpoint_auth_method: "private_key_jwt", jwks: JSON.parse(jwks) },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: anyone,
    revocation: anyone,
  },
});
provider.listen(Number(port), "127.0.0.1");
