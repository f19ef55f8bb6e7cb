import { useCallback, useEffect, useRef } from 'react';
import { type To, useLocation, useNavigate } from 'react-router';

/**
 * Navigates after an action of the server, unless the user has left by then: a late answer must not take the user away from another page.
 * Returns a function to call before the action. That one returns a function to call after it, which returns whether it navigates.
 */
export function useVisit(): () => (to: To) => boolean {
  const navigate = useNavigate();
  const { key } = useLocation();
  const current = useRef<string | null>(key);
  useEffect(() => {
    current.current = key;
    return () => {
      current.current = null;
    };
  }, [key]);
  return useCallback(() => {
    const begun = current.current;
    return (to) => {
      if (begun === null || begun !== current.current) return false;
      void navigate(to);
      return true;
    };
  }, [navigate]);
}
