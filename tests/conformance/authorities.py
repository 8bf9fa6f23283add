"""Certificate authorities of our own, for servers that tests start over TLS."""

import ssl
import subprocess


class Authority:
    """One that vouches for servers of this machine. Its certificate is `pem`, alone in its folder `believed`."""

    def __init__(self, folder, name="authority"):
        self.folder = folder / name
        self.believed = self.folder / "believed"
        self.believed.mkdir(parents=True)
        self.pem, self.key = self.believed / "ca.crt", self.folder / "ca.key"
        self.run("req", "-x509", *self.fresh(self.key), "-out", self.pem, "-days", "2", "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    @staticmethod
    def fresh(key):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key

    @staticmethod
    def run(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def certificate(self, *names):
        """Files of a certificate and its key; a name is such as `DNS:localhost` or `IP:127.0.0.1`."""
        place = self.folder / "-".join(names).replace(":", "-").replace(".", "-")
        certificate, key, request, more = (place.with_suffix(end) for end in (".pem", ".key", ".csr", ".ext"))
        more.write_text(f"subjectAltName={','.join(names)}\nbasicConstraints=CA:FALSE\n")
        self.run("req", *self.fresh(key), "-out", request, "-subj", "/CN=server")
        self.run("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial",
                 "-days", "2", "-extfile", more, "-out", certificate)
        return certificate, key

    def over_tls(self, server, *names):
        """Makes a server of the standard library one that speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(*names))
        # A handshake belongs to a connection's own thread: a client that breaks one off holds up nobody.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server
