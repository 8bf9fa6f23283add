package mayfly;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Turns the plain values of {@link Json} into the type that a handler asks for: numbers, text, enums, arrays,
 * collections, maps, records, and objects with a public constructor without arguments and setters.
 * Property names match regardless of case, as Lambda's own serializer matches them; unknown ones are skipped.
 */
final class Binder {
    private Binder() {}

    static Object bind(Object value, Type type) {
        if (type instanceof WildcardType wildcard) {
            return bind(value, wildcard.getUpperBounds()[0]);
        }
        if (type instanceof GenericArrayType array) {
            return array(value, array.getGenericComponentType());
        }
        Class<?> raw = rawOf(type);
        if (value == null) {
            if (raw.isPrimitive()) {
                throw mismatch("null", type);
            }
            return null;
        }
        if (raw == Object.class) {
            return value;
        }
        if (raw == byte[].class && value instanceof String text) {
            return Base64.getDecoder().decode(text);
        }
        if (raw.isArray()) {
            return array(value, raw.getComponentType());
        }
        if (Collection.class.isAssignableFrom(raw) || raw == Iterable.class) {
            return collection(value, raw, argument(type, 0));
        }
        if (Map.class.isAssignableFrom(raw)) {
            return map(value, raw, argument(type, 0), argument(type, 1));
        }
        Object simple = simple(value, raw);
        return simple != null ? simple : object(value, raw);
    }

    private static Object simple(Object value, Class<?> raw) {
        if (value instanceof Number number) {
            return number(number, raw);
        }
        if (value instanceof Boolean) {
            return raw == boolean.class || raw == Boolean.class ? value : null;
        }
        if (!(value instanceof String text)) {
            return null;
        }
        if (raw.isAssignableFrom(String.class)) {
            return text;
        }
        if ((raw == char.class || raw == Character.class) && text.length() == 1) {
            return text.charAt(0);
        }
        if (raw.isEnum()) {
            for (Object constant : raw.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(text)) {
                    return constant;
                }
            }
        }
        return null;
    }

    private static Object number(Number number, Class<?> raw) {
        BigDecimal exact = new BigDecimal(number.toString());
        if (raw == double.class || raw == Double.class) {
            return number.doubleValue();
        }
        if (raw == float.class || raw == Float.class) {
            return number.floatValue();
        }
        if (raw == Number.class) {
            return number;
        }
        if (raw == BigDecimal.class) {
            return exact;
        }
        // The exact conversions throw when the number does not fit, instead of handing on another one.
        if (raw == int.class || raw == Integer.class) {
            return exact.intValueExact();
        }
        if (raw == long.class || raw == Long.class) {
            return exact.longValueExact();
        }
        if (raw == short.class || raw == Short.class) {
            return exact.shortValueExact();
        }
        if (raw == byte.class || raw == Byte.class) {
            return exact.byteValueExact();
        }
        return raw == BigInteger.class ? exact.toBigIntegerExact() : null;
    }

    private static Object array(Object value, Type component) {
        List<?> items = cast(value, List.class);
        Object array = Array.newInstance(rawOf(component), items.size());
        for (int i = 0; i < items.size(); i++) {
            Array.set(array, i, bind(items.get(i), component));
        }
        return array;
    }

    @SuppressWarnings("unchecked")
    private static Object collection(Object value, Class<?> raw, Type element) {
        Collection<Object> bound = raw.isInterface()
                ? (Set.class.isAssignableFrom(raw) ? new LinkedHashSet<>() : new ArrayList<>())
                : cast(make(raw), Collection.class);
        for (Object item : cast(value, List.class)) {
            bound.add(bind(item, element));
        }
        return bound;
    }

    @SuppressWarnings("unchecked")
    private static Object map(Object value, Class<?> raw, Type key, Type element) {
        Map<Object, Object> bound = raw.isInterface() ? new LinkedHashMap<>() : cast(make(raw), Map.class);
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) cast(value, Map.class)).entrySet()) {
            bound.put(bind(entry.getKey(), key), bind(entry.getValue(), element));
        }
        return bound;
    }

    private static Object object(Object value, Class<?> raw) {
        if (!(value instanceof Map<?, ?> given) || raw.isPrimitive() || raw.isInterface() || raw.isEnum()) {
            throw mismatch(value.getClass().getSimpleName(), raw);
        }
        Map<String, Object> members = new HashMap<>();
        for (Map.Entry<?, ?> member : given.entrySet()) {
            members.put(lower(String.valueOf(member.getKey())), member.getValue());
        }
        try {
            if (raw.isRecord()) {
                return record(members, raw);
            }
            Object object = make(raw);
            for (Method method : raw.getMethods()) {
                String name = propertyOf(method, "set");
                if (name != null && method.getParameterCount() == 1 && members.containsKey(lower(name))) {
                    method.setAccessible(true);
                    Type wanted = method.getGenericParameterTypes()[0];
                    method.invoke(object, bind(members.get(lower(name)), wanted));
                }
            }
            return object;
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot make a " + raw.getName() + " of the event", error);
        }
    }

    private static Object record(Map<String, Object> members, Class<?> raw)
            throws ReflectiveOperationException {
        RecordComponent[] components = raw.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] arguments = new Object[components.length];
        for (int i = 0; i < components.length; i++) {
            types[i] = components[i].getType();
            String name = lower(components[i].getName());
            // A primitive that the event does not mention is zero, as it is in an object with setters.
            boolean absent = !members.containsKey(name) && types[i].isPrimitive();
            arguments[i] = absent
                    ? Array.get(Array.newInstance(types[i], 1), 0)
                    : bind(members.get(name), components[i].getGenericType());
        }
        Constructor<?> constructor = raw.getDeclaredConstructor(types);
        constructor.setAccessible(true);
        return constructor.newInstance(arguments);
    }

    private static Object make(Class<?> raw) {
        try {
            return raw.getConstructor().newInstance();
        } catch (ReflectiveOperationException error) {
            String advice = " needs a public constructor without arguments; a Map or an InputStream would do";
            throw new IllegalArgumentException(raw.getName() + advice, error);
        }
    }

    /** The property that a method of the form `getName`, `isName` or `setName` stands for, or null. */
    static String propertyOf(Method method, String... prefixes) {
        for (String prefix : prefixes) {
            String name = method.getName();
            boolean fits = name.startsWith(prefix) && name.length() > prefix.length();
            if (fits && Character.isUpperCase(name.charAt(prefix.length()))) {
                String property = name.substring(prefix.length());
                return Character.toLowerCase(property.charAt(0)) + property.substring(1);
            }
        }
        return null;
    }

    static Class<?> rawOf(Type type) {
        if (type instanceof Class<?> raw) {
            return raw;
        }
        return type instanceof ParameterizedType generic ? (Class<?>) generic.getRawType() : Object.class;
    }

    private static Type argument(Type type, int index) {
        Type[] none = {};
        boolean generic = type instanceof ParameterizedType;
        Type[] arguments = generic ? ((ParameterizedType) type).getActualTypeArguments() : none;
        return index < arguments.length ? arguments[index] : Object.class;
    }

    private static <T> T cast(Object value, Class<T> wanted) {
        if (!wanted.isInstance(value)) {
            throw mismatch(value.getClass().getSimpleName(), wanted);
        }
        return wanted.cast(value);
    }

    private static String lower(String name) {
        return name.toLowerCase(Locale.ROOT);
    }

    private static IllegalArgumentException mismatch(String found, Type wanted) {
        String name = wanted.getTypeName();
        return new IllegalArgumentException("the event has a " + found + " where " + name + " is wanted");
    }
}
