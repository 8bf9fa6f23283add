-- For wrk: sends numbered requests, each with an AWS signature of its own.
--
--   wrk ... -s signed.lua URL -- ACCESS_KEY SECRET_KEY SERVICE METHOD PATH BODY_FILE FIRST LAST
--
-- A `@` in PATH and in the body is replaced by the request's number. With LAST above 0, wrk ends once LAST -
-- FIRST + 1 answers are in; otherwise it counts on. Signing is libcrypto's, so that the client stays cheaper
-- than the server.

local ffi = require("ffi")
ffi.cdef [[
unsigned char *SHA256(const char *data, size_t length, unsigned char *digest);
const void *EVP_sha256(void);
unsigned char *HMAC(const void *kind, const char *key, int key_length, const char *data, size_t length,
                    unsigned char *digest, unsigned int *digest_length);
int getpid(void);
int kill(int process, int signal);
]]
local crypto = ffi.load("libcrypto.so.3")
local digest = ffi.new("unsigned char[32]")
local kind = crypto.EVP_sha256()
local REGION = "us-east-1"
local NAMES = "host;x-amz-content-sha256;x-amz-date"

local hexadecimal = {}
for byte = 0, 255 do hexadecimal[string.char(byte)] = string.format("%02x", byte) end

local function hex(bytes) return (bytes:gsub(".", hexadecimal)) end

local function sha256(data)
  crypto.SHA256(data, #data, digest)
  return hex(ffi.string(digest, 32))
end

local function hmac(key, data)
  crypto.HMAC(kind, key, #key, data, #data, digest, nil)
  return ffi.string(digest, 32)
end

local access, method, path, body, number, first, last, scope, signing_key, now, host
-- Invoke alone has a type, and whatever an operation does not read it refuses.
local names, typed_line, typed_header = NAMES, "", ""
local answers = 0

function init(args)
  local secret, service, file
  access, secret, service, method, path, file = args[1], args[2], args[3], args[4], args[5], args[6]
  first, last = tonumber(args[7]), tonumber(args[8])
  if path:find("/invocations", 1, true) then
    names = NAMES .. ";x-amz-invocation-type"
    typed_line, typed_header = "x-amz-invocation-type:Event\n", "\r\nX-Amz-Invocation-Type: Event"
  end
  -- wrk asks once for a request that it does not send.
  number = first - 1
  local handle = assert(io.open(file, "rb"))
  body = handle:read("*a")
  handle:close()
  now = os.date("!%Y%m%dT%H%M%SZ")
  local day = now:sub(1, 8)
  scope = day .. "/" .. REGION .. "/" .. service .. "/aws4_request"
  signing_key = hmac(hmac(hmac(hmac("AWS4" .. secret, day), REGION), service), "aws4_request")
  host = wrk.headers["Host"]
  if last == 0 then response = nil end
end

function request()
  local mine = tostring(math.max(first, last > 0 and math.min(number, last) or number))
  number = number + 1
  local to, content = path:gsub("@", mine), body:gsub("@", mine)
  local hash = sha256(content)
  local bare, query = to:match("^([^?]*)%??(.*)$")
  local canonical = table.concat({ method, bare, query, "host:" .. host, "x-amz-content-sha256:" .. hash,
    "x-amz-date:" .. now, typed_line, names, hash }, "\n")
  local text = table.concat({ "AWS4-HMAC-SHA256", now, scope, sha256(canonical) }, "\n")
  return table.concat({
    method, " ", to, " HTTP/1.1\r\nHost: ", host, "\r\nX-Amz-Date: ", now, "\r\nX-Amz-Content-Sha256: ", hash,
    typed_header, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=", access, "/", scope,
    ", SignedHeaders=", names, ", Signature=", hex(hmac(signing_key, text)),
    "\r\nContent-Length: ", #content, "\r\n\r\n", content,
  })
end

function response()
  answers = answers + 1
  -- An interrupt is the only thing that ends wrk before its time, with its report.
  if answers > last - first then ffi.C.kill(ffi.C.getpid(), 2) end
end
