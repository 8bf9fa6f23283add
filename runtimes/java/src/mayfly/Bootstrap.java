package mayfly;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs a Java function (17 or later) as the instance's one process: asks the Lambda Runtime API for events,
 * calls the handler, hands in results. Handlers and errors follow the AWS Lambda developer guide, "Building
 * Lambda functions with Java".
 *
 * Without lambdas, streams and, by the compiler's flag, concatenations that are linked at run time: the JVM makes
 * classes of their own for these, which took a third of a start.
 *
 * Not here: response streaming, SnapStart hooks, and the special classes of aws-lambda-java-events that have
 * no setters (S3Event is one): take a Map or a stream there.
 */
public final class Bootstrap {
    /** How long a function may load that is loaded for its classes' sake alone. */
    private static final long LOAD_LIMIT_MS = 30_000;

    private Bootstrap() {}

    public static void main(String[] args) throws Exception {
        System.setOut(utf8(FileDescriptor.out));
        System.setErr(utf8(FileDescriptor.err));
        if (args.length > 0 && args[0].equals("--load")) {
            load();
            return;
        }
        Client client = new Client(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        Handler handler;
        try {
            handler = Handler.find(System.getenv("_HANDLER"));
        } catch (Throwable error) {
            log(error);
            client.failInit(error.getClass().getName(), document(error));
            System.exit(1);
            return;
        }
        while (true) {
            serve(client, handler);
        }
    }

    /** Loads what a first event takes, however far that gets: the JVM writes its archive of classes as it ends. */
    private static void load() {
        Thread limit = new Thread() {
            @Override
            public void run() {
                endLate();
            }
        };
        limit.setDaemon(true);
        limit.start();
        try {
            Json.write(Json.read("{\"text\":[1,2.5,true,null]}"));
            Handler.find(System.getenv("_HANDLER"));
            new Client("127.0.0.1:1").next();
        } catch (Throwable early) {
            // There is nobody to tell, and whoever runs the function will be told.
        }
        System.exit(0);
    }

    private static void endLate() {
        try {
            Thread.sleep(LOAD_LIMIT_MS);
        } catch (InterruptedException ended) {
            return;
        }
        System.exit(0);
    }

    private static void serve(Client client, Handler handler) throws Exception {
        Client.Event event = client.next();
        String traceId = event.header("lambda-runtime-trace-id");
        if (traceId == null) {
            System.clearProperty("com.amazonaws.xray.traceHeader");
        } else {
            // A process cannot change its environment in Java, so this property is where the X-Ray SDK looks.
            System.setProperty("com.amazonaws.xray.traceHeader", traceId);
        }
        byte[] result;
        try {
            result = handler.call(event);
        } catch (Throwable error) {
            log(error);
            client.fail(event.requestId(), error.getClass().getName(), document(error));
            // The heap may be in any state now; a fresh process is the only safe answer.
            if (error instanceof VirtualMachineError) {
                System.exit(1);
            }
            return;
        }
        System.out.flush();
        System.err.flush();
        client.respond(event.requestId(), result);
    }

    /** One log event: inner line breaks are carriage returns. */
    private static void log(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text, true));
        String title = error.getMessage() + ": " + error.getClass().getName() + "\n";
        System.out.print((title + text).stripTrailing().replace("\n", "\r") + "\n");
        System.out.flush();
    }

    private static byte[] document(Throwable error) {
        return Json.write(describe(error, 0)).getBytes(StandardCharsets.UTF_8);
    }

    private static Map<String, Object> describe(Throwable error, int depth) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("errorMessage", String.valueOf(error.getMessage()));
        document.put("errorType", error.getClass().getName());
        List<String> trace = new ArrayList<>();
        for (StackTraceElement frame : error.getStackTrace()) {
            // What lies below the handler is this client and the reflection that called it.
            String owner = frame.getClassName();
            if (owner.startsWith("mayfly.") || owner.startsWith("jdk.internal.")) {
                break;
            }
            trace.add(frame.toString());
        }
        document.put("stackTrace", trace);
        if (error.getCause() != null && depth < 16) {
            document.put("cause", describe(error.getCause(), depth + 1));
        }
        return document;
    }

    private static PrintStream utf8(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
    }
}
