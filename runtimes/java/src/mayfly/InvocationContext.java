package mayfly;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The context of one invocation, in the shape of the interface that the function's package brings along.
 * Its members are those of the developer guide's page "Using the Lambda context object to retrieve Java
 * function information".
 */
final class InvocationContext implements InvocationHandler {
    private final Client.Event event;

    private InvocationContext(Client.Event event) {
        this.event = event;
    }

    static Object make(Class<?> type, Client.Event event) {
        return proxy(type, new InvocationContext(event));
    }

    @Override
    public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
        switch (method.getName()) {
            case "getAwsRequestId":
                return event.requestId();
            case "getLogGroupName":
                return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
            case "getLogStreamName":
                return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
            case "getFunctionName":
                return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
            case "getFunctionVersion":
                return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
            case "getInvokedFunctionArn":
                return event.header("lambda-runtime-invoked-function-arn");
            case "getTenantId":
                return event.header("lambda-runtime-aws-tenant-id");
            case "getMemoryLimitInMB":
                return Integer.valueOf(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
            case "getRemainingTimeInMillis":
                long deadline = Long.parseLong(event.header("lambda-runtime-deadline-ms"));
                return (int) Math.max(0, deadline - System.currentTimeMillis());
            case "getIdentity":
                return members(method, "lambda-runtime-cognito-identity");
            case "getClientContext":
                return members(method, "lambda-runtime-client-context");
            case "getLogger":
                return proxy(method.getReturnType(), new Logger());
            default:
                return otherwise(this, self, method, arguments);
        }
    }

    /** The getters of an identity or a client context, answered from the JSON of its header. */
    private Object members(Method method, String header) {
        String text = event.header(header);
        if (text == null) {
            return null;
        }
        // Header bytes are UTF-8 to their sender and Latin-1 to HTTP.
        String json = new String(text.getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
        return members(method.getReturnType(), (Map<?, ?>) Json.read(json));
    }

    private static Object members(Class<?> type, Map<?, ?> given) {
        return proxy(type, new Members(given));
    }

    private record Members(Map<?, ?> given) implements InvocationHandler {
        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            String name = Binder.propertyOf(method, "get");
            if (name == null) {
                return otherwise(given, self, method, arguments);
            }
            Object value = given.get(keyOf(name));
            Class<?> wanted = method.getReturnType();
            boolean nested = value instanceof Map<?, ?> && !Map.class.isAssignableFrom(wanted);
            return nested ? members(wanted, (Map<?, ?>) value) : value;
        }
    }

    /** The documents' own names for three families of getters. */
    private static String keyOf(String property) {
        switch (property) {
            case "identityId":
            case "identityPoolId":
                return "cognitoI" + property.substring(1);
            case "environment":
                return "env";
            default:
                return property.replaceAll("([A-Z])", "_$1").toLowerCase(java.util.Locale.ROOT);
        }
    }

    private static final class Logger implements InvocationHandler {
        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            if (!method.getName().equals("log")) {
                return otherwise("LambdaLogger", self, method, arguments);
            }
            String text = arguments[0] instanceof byte[] bytes
                    ? new String(bytes, StandardCharsets.UTF_8)
                    : String.valueOf(arguments[0]);
            // A message is one log event, whatever line breaks it holds.
            System.out.print(text.stripTrailing().replace("\n", "\r") + "\n");
            return null;
        }
    }

    private static Object otherwise(Object like, Object self, Method method, Object[] arguments)
            throws Throwable {
        if (method.isDefault()) {
            return InvocationHandler.invokeDefault(self, method, arguments);
        }
        switch (method.getName()) {
            case "toString":
                return like.getClass() == InvocationContext.class ? "LambdaContext" : like.toString();
            case "hashCode":
                return System.identityHashCode(self);
            case "equals":
                return self == arguments[0];
            default:
                // A member that a later version of the interface has and Mayfly lacks.
                return null;
        }
    }

    private static Object proxy(Class<?> type, InvocationHandler handler) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler);
    }
}
