// ListObjectsV2 with Signature Version 4, on Node's own modules. `fetch` would do, but loading it takes
// longer than the whole call.

import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';

const agent = new http.Agent({ keepAlive: true });

/** All objects under a prefix, in the order of their keys. */
export async function list(bucket, prefix) {
  const objects = [];
  let token;
  do {
    const xml = await get(`/${bucket}`, {
      'list-type': '2',
      prefix,
      ...(token && { 'continuation-token': token }),
    });
    for (const [, entry] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
      objects.push({
        key: text(entry, 'Key'),
        size: Number(text(entry, 'Size')),
        modified: text(entry, 'LastModified'),
      });
    }
    token = text(xml, 'NextContinuationToken');
  } while (token);
  return objects;
}

function text(xml, tag) {
  const found = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml);
  const entities = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return found?.[1].replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    name ? (entities[name] ?? whole) : String.fromCodePoint(hex ? parseInt(hex, 16) : Number(decimal)),
  );
}

async function get(path, parameters) {
  const { hostname, port, host } = new URL(process.env.AWS_ENDPOINT_URL);
  const query = canonicalQuery(parameters);
  const headers = sign('GET', host, path, query, new Date(), credentials());
  return new Promise((resolve, reject) => {
    const request = http.get(
      { hostname, port, path: `${path}?${query}`, headers, agent, timeout: 20000 },
      (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const body = Buffer.concat(chunks).toString();
          if (answer.statusCode === 200) resolve(body);
          else reject(new Error(`GET ${path}: ${answer.statusCode} ${body.slice(0, 500)}`));
        });
      },
    );
    request.on('timeout', () => request.destroy(new Error(`GET ${path}: no answer for 20 s`)));
    request.on('error', reject);
  });
}

/** Read at each call: the platform may renew them. */
function credentials() {
  const env = process.env;
  return {
    accessKey: env.AWS_ACCESS_KEY_ID,
    secret: env.AWS_SECRET_ACCESS_KEY,
    token: env.AWS_SESSION_TOKEN,
    region: env.AWS_REGION,
  };
}

export function canonicalQuery(parameters) {
  // encodeURIComponent leaves five characters alone that the signature wants encoded.
  const encode = (value) =>
    encodeURIComponent(value).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  return Object.keys(parameters)
    .sort()
    .map((name) => `${encode(name)}=${encode(parameters[name])}`)
    .join('&');
}

/** The headers that sign a request without a body. */
export function sign(method, host, path, query, date, { accessKey, secret, token, region }) {
  const sha256 = (data) => createHash('sha256').update(data).digest('hex');
  const hmac = (key, data) => createHmac('sha256', key).update(data).digest();
  const stamp = date.toISOString().replace(/[-:]|\.\d+/g, '');
  const headers = { host, 'x-amz-content-sha256': sha256(''), 'x-amz-date': stamp };
  if (token) headers['x-amz-security-token'] = token;
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  const request = [method, path, query, lines, names.join(';'), sha256('')].join('\n');
  const scope = `${stamp.slice(0, 8)}/${region}/s3/aws4_request`;
  const key = scope.split('/').reduce(hmac, `AWS4${secret}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', stamp, scope, sha256(request)].join('\n')).toString(
    'hex',
  );
  const credential = `Credential=${accessKey}/${scope}, SignedHeaders=${names.join(';')}`;
  return { ...headers, authorization: `AWS4-HMAC-SHA256 ${credential}, Signature=${signature}` };
}
