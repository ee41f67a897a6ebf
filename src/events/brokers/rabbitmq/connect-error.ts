import { BrokerError } from "../../errors.ts";
import { AmqpError, type Endpoint } from "./amqp.ts";

/** Why a connection could not be made. `isPermanent`: trying again helps only after somebody has changed something. */
export class ConnectError extends BrokerError {
  readonly isPermanent: boolean;

  constructor(message: string, isPermanent: boolean, cause: unknown) {
    super(message, { cause });
    this.isPermanent = isPermanent;
  }
}

/** What happened, in words of the person who has to mend it. */
export function explainConnect(error: unknown, endpoint: Endpoint): ConnectError {
  const where = `RabbitMQ at ${endpoint.host}:${endpoint.port}`;
  const raw = errorText(error);
  const code = (error as { code?: unknown }).code;
  const permanent = (text: string) => new ConnectError(`${where} ${text}`, true, error);
  const passing = (text: string) => new ConnectError(`${where} ${text}`, false, error);

  if (error instanceof ConnectError) return error;
  if (code === "ECONNREFUSED") {
    return passing("refuses connections: is it running, and is this its AMQP port (5672, with TLS 5671)?");
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return passing(`cannot be found: no address for the name (${code})`);
  if (/ACCESS_REFUSED|ACCESS-REFUSED/.test(raw)) return permanent(refusedLogin(endpoint));
  if (/SASL mechanism (\S+) is not provided/.test(raw)) {
    return permanent(
      endpoint.login.mechanism === "EXTERNAL"
        ? "does not offer EXTERNAL: enable the plugin rabbitmq_auth_mechanism_ssl, and auth_mechanisms = EXTERNAL"
        : "does not offer PLAIN: see auth_mechanisms in its configuration",
    );
  }
  if (/Expected ConnectionOpenOk; got <?ConnectionClose|no access to this vhost|vhost .* not found/i.test(raw)) {
    return permanent(
      `does not let the user into the vhost "${endpoint.vhost}": does it exist (rabbitmqctl list_vhosts), and may the user ` +
        "use it (rabbitmqctl set_permissions)?",
    );
  }
  if (/WRONG_VERSION_NUMBER|wrong version number|packet length too long/i.test(`${String(code)} ${raw}`)) {
    return permanent("does not speak TLS on this port: use amqp://, or the port of its TLS listener (5671)");
  }
  if (isCertificateError(String(code), raw)) {
    return permanent(
      `shows a certificate that is not trusted (${typeof code === "string" ? code : raw}): name the root in cacertfile=, ` +
        "and use the host name that the certificate is for",
    );
  }
  if (/alert|handshake failure|CERTIFICATE_REQUIRED/i.test(raw) && endpoint.tls !== undefined) {
    return permanent(`ended the TLS handshake (${raw}): it may want a client certificate (certfile=, keyfile=)`);
  }
  if (
    endpoint.tls === undefined &&
    /Invalid frame|Socket closed abruptly|Unexpected close|ECONNRESET|maxFrameSize/.test(`${raw} ${String(code)}`)
  ) {
    return passing(
      `ended the connection during the handshake (${raw}): with a TLS listener use amqps://; its log says more`,
    );
  }
  if (/ETIMEDOUT/.test(raw) || code === "ETIMEDOUT") {
    return passing(
      `does not answer within ${endpoint.timeoutMs} ms: is there a firewall, or another server on this port?`,
    );
  }
  return passing(`cannot be used: ${raw}`);
}

function refusedLogin({ login }: Endpoint): string {
  if (login.mechanism === "EXTERNAL") {
    return "refused the login by certificate: there must be a user with the certificate's name, without a password";
  }
  const hint =
    login.user === "guest" ? '; the user "guest" may log in from the same machine only (loopback_users)' : "";
  return `refused the login of the user "${login.user}": wrong user or password${hint}`;
}

function isCertificateError(code: string, raw: string): boolean {
  return (
    /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME|certificate/i.test(code) ||
    /certificate verify|self[- ]signed/i.test(raw)
  );
}

/** Happy eyeballs fail with one error for each address. */
function errorText(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorText).join("; ");
  return (error as Error).message?.trim() ?? String(error);
}

/** A refusal of an operation, with what can be done about it. */
export function explainOperation(error: unknown, what: string): BrokerError {
  if (error instanceof BrokerError) return error;
  const code = error instanceof AmqpError ? error.code : undefined;
  return new BrokerError(`RabbitMQ: ${what}: ${errorText(error)}${hintFor(code)}`, { cause: error });
}

function hintFor(code: number | undefined): string {
  switch (code) {
    case 403:
      return "; the user needs permissions (rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ)";
    case 404:
      return "; it must exist before, or createTopics must be true";
    case 405:
      return "; another connection has it exclusively";
    case 406:
      return "; it exists with other properties: change the options here to the same, or delete it when it is empty";
    default:
      return "";
  }
}
