package mayfly;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * The Runtime API over one kept connection. A bare socket, because java.net.http loads hundreds of classes
 * before its first request. The platform's server always sends a Content-Length, so that is the only framing
 * understood here.
 */
final class Client {
    /** An event as it arrived: header names in lower case. */
    record Event(Map<String, String> headers, byte[] body) {
        String header(String name) {
            return headers.get(name);
        }

        String requestId() {
            return header("lambda-runtime-aws-request-id");
        }
    }

    private record Answer(int status, Map<String, String> headers, byte[] body) {}

    private final String address;
    private Socket socket;
    private InputStream in;

    Client(String address) {
        this.address = address;
    }

    Event next() throws IOException {
        Answer answer = exchange("GET", "invocation/next", "", new byte[0]);
        if (answer.status() != 200) {
            throw new IOException("the platform answered " + answer.status() + " to a request for an event");
        }
        return new Event(answer.headers(), answer.body());
    }

    void respond(String requestId, byte[] result) throws IOException {
        post("invocation/" + requestId + "/response", "Content-Type: application/json\r\n", result);
    }

    void fail(String requestId, String kind, byte[] document) throws IOException {
        post("invocation/" + requestId + "/error", errorHeaders(kind), document);
    }

    void failInit(String kind, byte[] document) throws IOException {
        post("init/error", errorHeaders(kind), document);
    }

    private static String errorHeaders(String kind) {
        // A class name may hold any letter, a header may not.
        String plain = kind.replaceAll("[^\\x20-\\x7e]", "?");
        return "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: " + plain + "\r\n";
    }

    private void post(String path, String headers, byte[] body) throws IOException {
        Answer answer = exchange("POST", path, headers + "Content-Length: " + body.length + "\r\n", body);
        // 413 says that the result is too large, and the platform has already told the caller so.
        if (answer.status() >= 300 && answer.status() != 413) {
            String text = new String(answer.body(), StandardCharsets.UTF_8);
            System.err.println("The platform answered " + answer.status() + " to " + path + ": " + text);
        }
    }

    private Answer exchange(String method, String path, String headers, byte[] body) throws IOException {
        String head = method + " /2018-06-01/runtime/" + path + " HTTP/1.1\r\nHost: " + address
                + "\r\nUser-Agent: mayfly-java/" + Runtime.version().feature() + "\r\n" + headers + "\r\n";
        boolean kept = socket != null;
        try {
            return attempt(head, body);
        } catch (IOException closed) {
            drop();
            if (!kept) {
                throw closed;
            }
        }
        // The platform may have closed a connection that lay idle; a fresh one decides.
        return attempt(head, body);
    }

    private Answer attempt(String head, byte[] body) throws IOException {
        if (socket == null) {
            int colon = address.lastIndexOf(':');
            socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
            socket.setTcpNoDelay(true);
            in = new BufferedInputStream(socket.getInputStream(), 65536);
        }
        ByteArrayOutputStream message = new ByteArrayOutputStream(head.length() + body.length);
        message.write(head.getBytes(StandardCharsets.ISO_8859_1));
        message.write(body);
        OutputStream out = socket.getOutputStream();
        message.writeTo(out);
        out.flush();
        return receive();
    }

    private Answer receive() throws IOException {
        int status = Integer.parseInt(line().split(" ", 3)[1]);
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            String name = line.substring(0, colon).toLowerCase(java.util.Locale.ROOT);
            headers.put(name, line.substring(colon + 1).trim());
        }
        int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
        byte[] body = in.readNBytes(length);
        if (body.length < length) {
            throw new EOFException("the platform closed the connection within a body");
        }
        if ("close".equalsIgnoreCase(headers.get("connection"))) {
            drop();
        }
        return new Answer(status, headers, body);
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int next = in.read(); next != '\n'; next = in.read()) {
            if (next < 0) {
                throw new EOFException("the platform closed the connection");
            }
            if (next != '\r') {
                line.append((char) next);
            }
        }
        return line.toString();
    }

    private void drop() throws IOException {
        if (socket != null) {
            socket.close();
            socket = null;
        }
    }
}
