"""A bucket in Ceph's gateway, as the tests start it, for programs that keep all there."""
import datetime
import encodings.idna  # noqa: F401 - imported late, when the new user may not be able to
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tests/support/object_store.sh"
ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing-secret", "us-east-1"


class ObjectStore:
    def __init__(self, directory, port=21480, slow_network=None):
        """`slow_network`: a command that is given a port and prints that of a slow way to it."""
        self.port, self.directory = port, directory
        self.network, self.tls_port = None, port + 1
        self.ca_file = directory / "tls.crt"
        # All of the machine's memory that the store may take.
        env = dict(os.environ, MEMSTORE_BYTES=str(12 << 30))
        self.process = subprocess.Popen(["bash", str(SCRIPT), str(directory), str(port)], env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        if self.process.stdout.readline() != b"ready\n":
            sys.exit("the object store does not start; scripts/install-deps.sh --test")

        if slow_network:
            self.network = subprocess.Popen([slow_network[0], str(self.tls_port),
                                             *slow_network[1:]],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.tls_port = int(self.network.stdout.readline())

    def stop(self):
        for process in (self.network, self.process):
            if process:
                process.stdin.close()
                process.wait()

    def request(self, method, path, query=""):
        time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-date": time,
                   "x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
        names = ";".join(sorted(headers))
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        canonical = "\n".join([method, urllib.parse.quote(path), query, *lines, "", names,
                               headers["x-amz-content-sha256"]])
        scope = f"{time[:8]}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", time, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + SECRET_KEY).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope},"
                                    f"SignedHeaders={names},Signature={signature}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path + ("?" + query if query else ""), headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status not in (200, 204, 404, 409):
            sys.exit(f"the object store answers {answer.status} to {method} {path}: {body}")
        return body

    def make_bucket(self, bucket):
        self.request("PUT", f"/{bucket}")

    def objects(self, bucket, prefix=""):
        """Key and size of each."""
        token = ""
        while True:
            pairs = {"list-type": "2", "prefix": prefix}
            if token:
                pairs["continuation-token"] = token
            query = "&".join(f"{name}={urllib.parse.quote(pairs[name], safe='')}"
                             for name in sorted(pairs))
            body = self.request("GET", f"/{bucket}", query)
            for entry in re.findall(r"<Contents>(.*?)</Contents>", body, re.S):
                yield (re.search(r"<Key>(.*?)</Key>", entry)[1],
                       int(re.search(r"<Size>(\d+)</Size>", entry)[1]))
            following = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", body)
            if not following:
                return
            token = following[1]

    def bytes(self, bucket, prefix=""):
        return sum(size for _, size in self.objects(bucket, prefix))

    def remove(self, bucket, prefix="", but=()):
        for key, _ in list(self.objects(bucket, prefix)):
            if not any(word in key for word in but):
                self.request("DELETE", f"/{bucket}/{key}")
