"""Between the program and a server: the program's end of a connection can go while the server's
stays, as when a firewall forgets a connection."""
import contextlib
import socket
import threading
import urllib.parse


class Proxy:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.server = (parts.hostname, parts.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.url = url.replace(f":{parts.port}/", f":{port}/") + "?sslmode=disable&gssencmode=disable"
        self.pairs = []  # what the program said first, its end, the server's end
        self._in_background(self._accept)

    @staticmethod
    def _in_background(function, *arguments):
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                self._in_background(self._join, self.listener.accept()[0])

    def _join(self, near):
        hello = near.recv(65536)
        far = socket.create_connection(self.server)
        far.sendall(hello)
        pair = (hello, near, far)
        self.pairs.append(pair)
        self._in_background(self._carry, near, far, lambda: pair in self.pairs)
        self._carry(far, near, lambda: True)

    @staticmethod
    def _carry(one, other, is_told):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        if is_told():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)

    def lose(self, text):
        """The connections whose first message holds the text. Returns the server's ends: whoever has
        them keeps them open."""
        lost = [pair for pair in self.pairs if text in pair[0]]
        self.pairs = [pair for pair in self.pairs if pair not in lost]
        for _, near, _ in lost:
            near.shutdown(socket.SHUT_RDWR)
        return [far for _, _, far in lost]

    def remove(self):
        self.listener.close()
