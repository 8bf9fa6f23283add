package mayfly;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The method that `_HANDLER` names, `package.Class::method`, or `package.Class` with its `handleRequest`.
 *
 * The interfaces RequestHandler, RequestStreamHandler and Context are part of the function's own package,
 * so they are known here by name and shape only: streams get streams, a parameter of the type Context gets
 * the context, and the other one the event.
 */
final class Handler {
    private static final String CONTEXT = "com.amazonaws.services.lambda.runtime.Context";

    private final Object target;
    private final Method method;

    private Handler(Object target, Method method) {
        this.target = target;
        this.method = method;
    }

    static Handler find(String name) throws Throwable {
        if (name == null || name.isBlank()) {
            throw new IllegalArgumentException("Bad handler: _HANDLER is empty");
        }
        String[] parts = name.split("::", 2);
        String methodName = parts.length == 2 ? parts[1] : "handleRequest";
        Class<?> type;
        try {
            type = Class.forName(parts[0]);
        } catch (ClassNotFoundException error) {
            throw new ClassNotFoundException("Class not found: " + parts[0], error);
        }
        Method method = best(type, methodName);
        if (method == null) {
            throw new NoSuchMethodException("No public method named " + methodName
                    + " with appropriate method signature found on " + type);
        }
        method.setAccessible(true);
        try {
            boolean isStatic = java.lang.reflect.Modifier.isStatic(method.getModifiers());
            return new Handler(isStatic ? null : type.getConstructor().newInstance(), method);
        } catch (NoSuchMethodException error) {
            throw new NoSuchMethodException("Class " + parts[0] + " has no public zero-argument constructor");
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    /** Runs one event; answers the bytes of the result. What the handler throws is thrown as it is. */
    byte[] call(Client.Event event) throws Throwable {
        Class<?>[] types = method.getParameterTypes();
        Object[] arguments = new Object[types.length];
        ByteArrayOutputStream output = null;
        for (int i = 0; i < types.length; i++) {
            if (types[i].getName().equals(CONTEXT)) {
                arguments[i] = InvocationContext.make(types[i], event);
            } else if (types[i] == OutputStream.class) {
                output = new ByteArrayOutputStream();
                arguments[i] = output;
            } else if (types[i] == InputStream.class) {
                arguments[i] = new ByteArrayInputStream(event.body());
            } else {
                Object plain = Json.read(new String(event.body(), StandardCharsets.UTF_8));
                arguments[i] = Binder.bind(plain, resolve(method.getGenericParameterTypes()[i]));
            }
        }
        Object result;
        try {
            result = method.invoke(target, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
        return output != null ? output.toByteArray() : Json.write(result).getBytes(StandardCharsets.UTF_8);
    }

    /** As on Lambda: of several methods with the name, the one that takes the most, and a context before none. */
    private static Method best(Class<?> type, String name) {
        Method best = null;
        for (Method each : type.getMethods()) {
            boolean candidate = each.getName().equals(name) && !each.isBridge() && fits(each);
            if (candidate && (best == null || rank(each) > rank(best))) {
                best = each;
            }
        }
        return best;
    }

    private static int rank(Method method) {
        return 2 * method.getParameterCount() + (takesContext(method) ? 1 : 0);
    }

    private static boolean fits(Method method) {
        Class<?>[] types = method.getParameterTypes();
        int own = types.length - (takesContext(method) ? 1 : 0);
        boolean streams = own == 2 && types[0] == InputStream.class && types[1] == OutputStream.class;
        return own <= 1 || streams;
    }

    private static boolean takesContext(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length > 0 && types[types.length - 1].getName().equals(CONTEXT);
    }

    /** What a type variable of a generic base class stands for in the handler's class. */
    private Type resolve(Type type) {
        if (!(type instanceof TypeVariable<?> variable) || target == null) {
            return type;
        }
        for (Class<?> each = target.getClass(); each.getSuperclass() != null; each = each.getSuperclass()) {
            boolean declares = each.getSuperclass() == variable.getGenericDeclaration();
            if (declares && each.getGenericSuperclass() instanceof ParameterizedType base) {
                int index = Arrays.asList(each.getSuperclass().getTypeParameters()).indexOf(variable);
                return resolve(base.getActualTypeArguments()[index]);
            }
        }
        return variable.getBounds()[0];
    }
}
