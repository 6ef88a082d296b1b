"""A certificate authority of a test's own, and a server's certificate for 127.0.0.1."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """`file`: what a client must trust; `pem`: certificate and key of one at 127.0.0.1; `server()`: the context."""

    def __init__(self, folder: Path) -> None:
        self.file, self.pem = folder / "authority.pem", folder / "server.pem"
        now = datetime.datetime.now(datetime.UTC)
        own, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        ends = (now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))

        def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
            found = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
            found = found.serial_number(x509.random_serial_number())
            return found.not_valid_before(ends[0]).not_valid_after(ends[1])

        root = begun(name, own.public_key())
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        leaf = begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), key.public_key())
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        leaf = leaf.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        pem = serialization.Encoding.PEM
        self.file.write_bytes(root.sign(own, hashes.SHA256()).public_bytes(pem))
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.pem.write_bytes(leaf.sign(own, hashes.SHA256()).public_bytes(pem) + secret)

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        return context
