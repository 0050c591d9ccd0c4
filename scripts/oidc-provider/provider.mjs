// A certified OpenID provider for tests: node provider.mjs ISSUER CLIENT_ID CLIENT_SECRET REDIRECT_URI
// It logs in whoever gives a name; what a person may do is in their name: `bob+finance-oncall` is bob, a member of that group.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [issuer, clientId, secret, redirect] = process.argv.slice(2);
const from = createRequire(new URL("../../.tools/oidc-provider/package.json", import.meta.url));
const { Provider } = await import(pathToFileURL(from.resolve("oidc-provider")));

const provider = new Provider(issuer, {
  clients: [{ client_id: clientId, client_secret: secret, redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"] }],
  claims: { openid: ["sub", "email", "person", "groups"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["a key of a test"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => {
      const [name, ...groups] = id.split("+");
      return { sub: id, email: `${name}@example.com`, person: `${name}@example.com`, groups };
    },
  }),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
});
provider.on("server_error", (_, error) => console.error(error));
provider.listen(new URL(issuer).port, "127.0.0.1");
