import { exampleOf, type Schema } from "../../../contract/schema/index.ts";
import type { OpenApiDocument, Operation } from "./document.ts";

/** Nothing is loaded from anywhere, and nothing in the page runs but the script whose hash this is. */
export interface DocsPage {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

/** The document as a page for people: works without a network beside the service itself. */
export function docsPage(document: OpenApiDocument, hashOf: (text: string) => string): DocsPage {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([verb, operation]) => ({ path, verb, operation })),
  );
  const sections = document.tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    return `<section><h2>${escapeHtml(name)}</h2>${own.map(one => operationHtml(document, one)).join("")}</section>`;
  });
  const { title, version, description } = document.info;
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body>
<header><h1>${escapeHtml(title)} <small>${escapeHtml(version)}</small></h1>
<p>${escapeHtml(description ?? "")}</p><p><a href="openapi.json">openapi.json</a></p></header>
<main>${sections.join("")}<section><h2>Types</h2>${typesHtml(document)}</section></main>
<script>${script}</script></body></html>
`;
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${hashOf(script)}'`,
    `style-src 'sha256-${hashOf(style)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { html, contentSecurityPolicy: policy.join("; ") };
}

interface Place {
  readonly path: string;
  readonly verb: string;
  readonly operation: Operation;
}

function operationHtml(document: OpenApiDocument, { path, verb, operation }: Place): string {
  const rows = (operation.parameters ?? []).map(({ name, in: place, required, schema }) => {
    const input = `<input name="${escapeHtml(name)}" data-in="${place}"${required ? " required" : ""}>`;
    return `<tr><td><code>${escapeHtml(name)}</code>${required ? " *" : ""}</td><td>${place}</td><td>${typeHtml(schema)}</td><td>${input}</td></tr>`;
  });
  const table =
    rows.length === 0
      ? ""
      : `<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>${rows.join("")}</table>`;
  const [bodyType, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const example =
    body?.schema === undefined ? "" : JSON.stringify(exampleOf(body.schema, document.components.schemas), null, 2);
  const bodyHtml =
    bodyType === undefined
      ? ""
      : `<p>Body: <code>${escapeHtml(bodyType)}</code> ${typeHtml(body?.schema ?? {})}</p><textarea data-type="${escapeHtml(bodyType)}" rows="8">${escapeHtml(bodyType === "application/x-ndjson" ? example.replace(/\n\s*/g, " ") : example)}</textarea>`;
  const answers = Object.entries(operation.responses).map(([status, response]) => {
    if ("$ref" in response) return `<li><code>${status}</code> problem</li>`;
    const types = Object.entries(response.content ?? {}).map(
      ([type, { schema }]) => `<code>${escapeHtml(type)}</code> ${typeHtml(schema ?? {})}`,
    );
    return `<li><code>${status}</code> ${escapeHtml(response.description)} ${types.join(", ")}</li>`;
  });
  const auth = securityHtml(document, operation);
  return `<details data-verb="${verb.toUpperCase()}" data-path="${escapeHtml(path)}"><summary><b class="${verb}">${verb.toUpperCase()}</b> <code>${escapeHtml(path)}</code> <span>${escapeHtml(operation.summary)}</span></summary>
<form>${auth}${table}${bodyHtml}<ul>${answers.join("")}</ul><button>Send</button><pre hidden></pre></form></details>`;
}

/** What a call needs, and a field for a token where one will do. */
function securityHtml({ components }: OpenApiDocument, { security = [] }: Operation): string {
  const schemes = security.flatMap(requirement => Object.keys(requirement));
  if (schemes.length === 0) return "";
  const scopes = [...new Set(security.flatMap(requirement => Object.values(requirement).flat()))];
  const needs = scopes.length > 0 ? ` with <code>${escapeHtml(scopes.join(" "))}</code>` : "";
  const hasToken = schemes.some(name => components.securitySchemes?.[name]?.["scheme"] === "bearer");
  const field = hasToken
    ? ' <input data-in="token" type="password" autocomplete="off" placeholder="bearer token" aria-label="bearer token">'
    : "";
  return `<p>Needs ${schemes.map(name => `<code>${escapeHtml(name)}</code>`).join(" or ")}${needs}.${field}</p>`;
}

function typesHtml(document: OpenApiDocument): string {
  return Object.entries(document.components.schemas)
    .map(([name, schema]) => {
      const rows = Object.entries(schema.properties ?? {}).map(([field, type]) => {
        const mark = schema.required?.includes(field) === true ? " *" : "";
        return `<tr><td><code>${escapeHtml(field)}</code>${mark}</td><td>${typeHtml(type)}</td></tr>`;
      });
      return `<details id="${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary><table>${rows.join("")}</table></details>`;
    })
    .join("");
}

function typeHtml(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
    return `<a href="#${escapeHtml(name)}">${escapeHtml(name)}</a>`;
  }
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeHtml).join(" or ");
  if (schema.items !== undefined) return `list of ${typeHtml(schema.items)}${limits(schema)}`;
  if (typeof schema.additionalProperties === "object") return `map of ${typeHtml(schema.additionalProperties)}`;
  if (schema.enum !== undefined)
    return schema.enum.map(value => `<code>${escapeHtml(JSON.stringify(value))}</code>`).join(" ");
  const type = typeof schema.type === "string" ? schema.type : (schema.type ?? ["any"]).join(" or ");
  return escapeHtml(type + (schema.format === undefined ? "" : ` (${schema.format})`)) + limits(schema);
}

const shownLimits = [
  ["minimum", "≥"],
  ["exclusiveMinimum", ">"],
  ["maximum", "≤"],
  ["exclusiveMaximum", "<"],
  ["minLength", "length ≥"],
  ["maxLength", "length ≤"],
  ["minItems", "items ≥"],
  ["maxItems", "items ≤"],
] as const;

function limits(schema: Schema): string {
  return shownLimits
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, sign]) => `, ${escapeHtml(sign)} ${schema[name]}`)
    .join("");
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1 small{font-size:1rem;opacity:.6}summary{cursor:pointer;padding:.3rem 0}summary b{display:inline-block;min-width:4.5rem}
summary span{opacity:.6}b.get{color:#1a7f37}b.post{color:#0969da}b.put,b.patch{color:#9a6700}b.delete{color:#cf222e}
details{border-bottom:1px solid #8884}form,details>table{margin:.5rem 0 1rem 1rem}table{border-collapse:collapse}
td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}textarea{width:100%;font:13px monospace}
pre{overflow:auto;background:#8882;padding:.6rem}`;

/** Sends what the form says and shows what comes back. */
const script = `for(const form of document.querySelectorAll("form"))form.addEventListener("submit",async event=>{
event.preventDefault();const place=form.closest("details"),out=form.querySelector("pre"),query=new URLSearchParams(),headers={};
let path=place.dataset.path;for(const input of form.querySelectorAll("input")){if(input.value==="")continue;
if(input.dataset.in==="path")path=path.replace("{"+input.name+"}",encodeURIComponent(input.value));
else if(input.dataset.in==="token")headers.authorization="Bearer "+input.value;
else query.append(input.name,input.value)}
const area=form.querySelector("textarea"),options={method:place.dataset.verb,headers};
if(area!==null){options.body=area.value;headers["content-type"]=area.dataset.type}
out.hidden=false;out.textContent="…";try{
const answer=await fetch(path+(query.size>0?"?"+query:""),options),text=await answer.text();
let shown=text;try{shown=JSON.stringify(JSON.parse(text),null,2)}catch{}
out.textContent=answer.status+" "+answer.statusText+"\\n"+[...answer.headers].map(([name,value])=>name+": "+value).join("\\n")+"\\n\\n"+shown
}catch(error){out.textContent=String(error)}});
addEventListener("hashchange",()=>{const target=document.getElementById(location.hash.slice(1));if(target!==null)target.open=true});`;
